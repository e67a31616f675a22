"""Process start to first answer: ``python -m benchmarks.cold_start MODELS ENGINE PHOTO`` is one."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks import memory


def seconds(models_dir: Path, engine: str, photo: Path) -> tuple[float, float]:
    """Of one new process, and its peak memory in MB."""
    command = [sys.executable, "-m", "benchmarks.cold_start", models_dir, engine, photo]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - started, float(done.stdout)


def main(models_dir: str, engine: str, photo: str) -> None:
    from facerec_tasks.recognition.gallery import Gallery
    from facerec_tasks.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(Path(models_dir), Gallery.empty(engine))
    if not recognizer.recognize(Path(photo).read_bytes()).faces:
        raise SystemExit("no face in the photo")
    print(memory.peak_mb())


if __name__ == "__main__":
    main(*sys.argv[1:])
