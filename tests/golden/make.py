"""Asks the originals what they see and writes it down: ``python -m tests.golden.make``.

``originals.json`` lets ``make test`` compare our engine with theirs without torch or dlib. Run it
again only when the pictures (``benchmarks/parity.py``) or the pinned originals change.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity import pictures
from benchmarks.reference.client import ReferenceClient
from tests.golden import random_facenet

HERE = Path(__file__).parent
VECTORS = HERE / "originals.json"
EMBEDDED = ("hopper-250", "collins-250", "collins-64")
"""Pictures whose largest face FaceNet embeds."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ReferenceClient() as originals:
        work = Path(folder)
        shapes = json.dumps(originals("shapes"), indent=0)
        random_facenet.SHAPES.write_text(shapes + "\n")
        weights = work / "weights.npz"
        np.savez(weights, **random_facenet.state())
        originals("load_weights", path=str(weights))
        VECTORS.write_text(json.dumps(_vectors(originals, work), indent=0) + "\n")


def _vectors(originals: ReferenceClient, work: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"faces": {}, "facenet": {}}
    for name, picture in pictures().items():
        path = str(work / f"{name}.png")
        picture.save(path)
        found["faces"][name] = _rounded(originals("detect", picture=path), 4)
        if name in EMBEDDED:
            found["facenet"][name] = _rounded(originals("embed_facenet", picture=path), 7)
        if name == "chip":
            found["resnet128"] = _rounded(originals("embed_dlib", chip=path), 7)
    return found


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, list):
        return [_rounded(item, digits) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item, digits) for key, item in value.items()}
    return value


if __name__ == "__main__":
    main()
