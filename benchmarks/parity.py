"""Compares our engine with the originals, live: ``python -m benchmarks.parity [FOLDER]``.

Detector: boxes and landmarks within 0.01 px of facenet-pytorch's MTCNN in torch, the same faces.
Embeddings: within 1e-5 of dlib's own (``resnet128``) and of facenet-pytorch's (``facenet``, with
random weights). A folder of photos adds those to the portraits. Ends with status 1 when anything is
farther off.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import portraits
from benchmarks.reference.client import ReferenceClient
from facerec_tasks.recognition.conversion import convert
from facerec_tasks.recognition.detection.detector import Detection, Detector
from facerec_tasks.recognition.embedding.description import FACENET, RESNET128
from facerec_tasks.recognition.embedding.embedder import Embedder

PIXELS = 0.01
EMBEDDING = 1e-5


@dataclass(frozen=True)
class Difference:
    """The largest of one comparison."""

    what: str
    value: float
    limit: float

    @property
    def ok(self) -> bool:
        return self.value <= self.limit


def pictures() -> dict[str, Image.Image]:
    """What the golden vectors and this comparison look at."""
    made = {who: portraits.portrait(who) for who in ("hopper", "collins")}
    for who in ("hopper", "collins"):
        made |= {f"{who}-{side}": portraits.head(who, side) for side in (40, 64, 100, 250, 400)}
    made |= {f"group-{side}": portraits.group(side) for side in (160, 500, 1000)}
    made["chip"] = portraits.head("collins", 150)
    made["none"] = Image.new("RGB", (80, 60), (120, 130, 140))
    return made


def of_faces(picture: str, theirs: dict[str, Any], ours: list[Detection]) -> Difference:
    """Boxes and landmarks in pixels; infinite when the numbers of faces differ."""
    what = f"{picture}: {len(ours)} faces, px"
    if len(ours) != len(theirs["boxes"]):
        return Difference(what, float("inf"), PIXELS)
    off = [0.0]
    for box, points, face in zip(theirs["boxes"], theirs["points"], ours, strict=True):
        off.append(float(np.abs(np.array(box) - face.box).max()))
        off.append(float(np.abs(np.array(points) - face.landmarks).max()))
    return Difference(what, max(off), PIXELS)


def of_embeddings(what: str, theirs: Any, ours: Any) -> Difference:
    return Difference(what, float(np.abs(np.array(theirs) - np.array(ours)).max()), EMBEDDING)


def compare(originals: ReferenceClient, work: Path, folder: Path | None) -> Iterator[Difference]:
    """Everything, in a folder for the files the originals read."""
    checkpoint = work / "facenet.pt"
    originals("save_weights", path=str(checkpoint))
    convert.ensure(work)
    convert.ensure(work, "facenet", checkpoint, hashlib.sha256(checkpoint.read_bytes()).hexdigest())
    detector, resnet, facenet = Detector(work), Embedder(RESNET128, work), Embedder(FACENET, work)

    paths = sorted(folder.rglob("*.jpg")) if folder else []
    for name, picture in pictures().items():
        paths.append(work / f"{name}.png")
        picture.save(paths[-1])
    for path in paths:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        ours = detector.detect(rgb)
        yield of_faces(path.name, originals("detect", picture=str(path)), ours)
        if ours:
            theirs = originals("embed_facenet", picture=str(path))
            yield of_embeddings(f"{path.name}: facenet", theirs, facenet.embed(rgb, ours[:1])[0])
    for name in ("chip", "collins-250"):
        picture = pictures()[name].resize((150, 150))
        picture.save(work / "aligned.png")
        theirs = originals("embed_dlib", chip=str(work / "aligned.png"))
        yield of_embeddings(
            f"{name}: resnet128", theirs, resnet.embed_unmirrored(np.asarray(picture)[None])[0]
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the engine with the originals.")
    parser.add_argument("folder", type=Path, nargs="?", help="photos (*.jpg) to look at as well")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as work, ReferenceClient() as originals:
        results = list(compare(originals, Path(work), folder))
    for result in results:
        print(f"{'ok ' if result.ok else 'OFF'} {result.value:9.2e}  {result.what}")
    bad = [result for result in results if not result.ok]
    print(f"{len(results)} comparisons, {len(bad)} too far off")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
