"""Process start to first answer: ``python -m benchmarks.cold_start`` is one."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import memory


@dataclass(frozen=True)
class Start:
    """One process that answers one photo and ends."""

    seconds: float
    """By the clock, from starting the process to its end."""
    processor_seconds: float
    """What it computed: the same on an idle machine."""
    peak_mb: float


def measure(models_dir: Path, engine: str, precision: str, photo: Path) -> Start:
    """Of one new process."""
    command = [sys.executable, "-m", "benchmarks.cold_start", models_dir, engine, precision, photo]
    before = os.times()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = os.times()
    user, system = (
        after.children_user - before.children_user,
        after.children_system - before.children_system,
    )
    return Start(after.elapsed - before.elapsed, user + system, float(done.stdout))


def main(models_dir: str, engine: str, precision: str, photo: str) -> None:
    from facerec_tasks.recognition.gallery.gallery import Gallery
    from facerec_tasks.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(Path(models_dir), Gallery.empty(engine, precision=precision))
    if not recognizer.recognize(Path(photo).read_bytes()).faces:
        raise SystemExit("no face in the photo")
    print(memory.peak_mb())


if __name__ == "__main__":
    main(*sys.argv[1:])
