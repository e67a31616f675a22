"""Videos against frame-by-frame recognition in torch: ``python -m benchmarks.video [--json]``.

Ours: a file to its people and times, decoding in its own process included, processor time of both
processes. Reference: facenet-pytorch on every frame, all faces embedded, decoding and naming not
charged. The videos are made of the sample portraits, so who is seen is known to both and the names
found are compared with it. FaceNet's weights are random: its speed does not depend on them.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.reference.client import ReferenceClient
from facerec_tasks.recognition.conversion import convert
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.video.analysis import analyze_video
from facerec_tasks.video.reader import VideoReader
from facerec_tasks.video.sampling import EVERY_FRAME
from local.samples import portraits
from local.samples.videos import Coding, Shot, write

HOPPER, COLLINS = "Grace_Hopper", "Eileen_Collins"
PAN = Shot((HOPPER,), 4.0, "pan")
CUT = (Shot((HOPPER,), 1.5), Shot((COLLINS,), 1.5), Shot((HOPPER,), 1.0))
TURN = Shot((COLLINS,), 4.0, "turn")
BOTH = Shot((HOPPER, COLLINS), 4.0)
VIDEOS: dict[str, tuple[Sequence[Shot], Coding]] = {
    "pan": ((PAN,), Coding()),
    "cuts": (CUT, Coding(codec="libx265")),
    "turning head, held upright": ((TURN,), Coding(rotation=90)),
    "two people": ((BOTH,), Coding()),
}
CONTAINERS = {"libx264": "mp4", "libx265": "mkv"}
ROUNDS = 5


@dataclass(frozen=True)
class VideoRow:
    """One video. Processor seconds a minute of video; names as found."""

    video: str
    seconds: float
    """Of the video."""
    ours_cpu: float
    theirs_cpu: float
    ours_wall: float
    """Seconds for the whole video."""
    truth: list[str]
    ours: list[str]
    theirs: list[str]

    @property
    def ratio(self) -> float:
        return self.theirs_cpu / self.ours_cpu


def measure(work: Path) -> list[VideoRow]:
    """All videos, in a folder for files."""
    convert.ensure(work, "resnet128")
    analyzer = _analyzer(work)
    photos = {one.name: str(one.path) for one in portraits.portraits()}
    with ReferenceClient() as originals:
        return [_compared(name, analyzer, originals, photos, work) for name in VIDEOS]


def _compared(
    name: str,
    analyzer: Recognizer,
    originals: ReferenceClient,
    portraits: dict[str, str],
    work: Path,
) -> VideoRow:
    shots, coding = VIDEOS[name]
    film = write(work / f"{name}.{CONTAINERS[coding.codec]}", shots, coding)
    seconds = sum(shot.seconds for shot in shots)
    cpu, wall, found = min(_ours(film, analyzer) for _ in range(ROUNDS))
    frames = []
    with VideoReader(film, EVERY_FRAME) as video:
        for frame in video:
            frames.append(str(work / f"{frame.number}.npy"))
            np.save(frames[-1], frame.rgb)
    theirs = originals("watch", frames=frames, portraits=portraits)
    return VideoRow(
        video=name,
        seconds=seconds,
        ours_cpu=cpu * 60 / seconds,
        theirs_cpu=theirs["seconds"] * 60 / seconds,
        ours_wall=wall,
        truth=sorted({who for shot in shots for who in shot.people}),
        ours=found,
        theirs=sorted({who for names in theirs["names"] for who in names}),
    )


def _ours(film: Path, analyzer: Recognizer) -> tuple[float, float, list[str]]:
    """Processor seconds, seconds, names."""
    cpu, wall = _spent(), time.monotonic()
    watched = analyze_video(film, analyzer)
    assert watched is not None
    return _spent() - cpu, time.monotonic() - wall, sorted(p.name for p in watched.people)


def _spent() -> float:
    """Processor seconds of this process and of the decoders that ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _analyzer(models: Path) -> Recognizer:
    analyzer = Recognizer.load(models, Gallery.empty("resnet128"))
    batch = Batch(Enroller(analyzer), analyzer.gallery)
    for portrait in portraits.portraits():
        batch.add(portrait.name, portrait.path.read_bytes())
    return analyzer.with_gallery(batch.gallery)


def figures(rows: Sequence[VideoRow]) -> dict[str, float]:
    """Theirs divided by ours, of all videos together; ``video_same_people`` 1 when all agree."""
    ours = sum(row.ours_cpu * row.seconds for row in rows)
    theirs = sum(row.theirs_cpu * row.seconds for row in rows)
    return {
        "video_cpu_vs_reference": round(theirs / ours, 1),
        "video_cpu_vs_reference_worst": round(min(row.ratio for row in rows), 1),
        "video_same_people": float(all(row.ours == row.theirs == row.truth for row in rows)),
        "video_cpu_s_per_minute": round(sum(row.ours_cpu for row in rows) / len(rows), 2),
        "videos_per_minute": round(60 * len(rows) / sum(row.ours_wall for row in rows), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare videos with frame-by-frame recognition.")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    print(f"{'':28}{'CPU s a minute':>16}{'reference':>12}{'ratio':>8}  people")
    for row in rows:
        same = "the same" if row.ours == row.theirs else f"{row.ours}, reference {row.theirs}"
        numbers = f"{row.ours_cpu:>16.2f}{row.theirs_cpu:>12.1f}{row.ratio:>8.1f}"
        print(f"{row.video:28}{numbers}  {same}")
    for name, value in figures(rows).items():
        print(f"{name}: {value}")
    if wanted.json:
        print(json.dumps({"figures": figures(rows), "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
