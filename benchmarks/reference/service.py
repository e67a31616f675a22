"""Runs inside ``.venv-parity``: answers each JSON line on standard input with one on output.

``{"do": "detect", "picture": "photo.png"}`` and so on: the methods of :class:`Originals`. Pictures
are decoded by Pillow to RGB, outside what is timed. One thread throughout.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import numpy as np
import torch
from PIL import Image

from benchmarks import memory
from benchmarks.reference import torchvision_standin

torchvision_standin.install()

from facenet_pytorch import MTCNN, InceptionResnetV1  # noqa: E402

from facerec_tasks.recognition.embedding import alignment  # noqa: E402 - numpy and Pillow alone

torch.set_num_threads(1)


class Originals:
    """facenet-pytorch as its own users run it (240 px, no margin), and dlib."""

    def __init__(self) -> None:
        self._all = MTCNN(image_size=240, margin=0, min_face_size=20, keep_all=True)
        self._largest = MTCNN(image_size=240, margin=0, min_face_size=20)
        torch.manual_seed(0)
        self._facenet = InceptionResnetV1().eval()
        self._dlib: Any = None

    def shapes(self) -> dict[str, list[int]]:
        return {name: list(value.shape) for name, value in self._facenet.state_dict().items()}

    def save_weights(self, path: str) -> None:
        torch.save(self._facenet.state_dict(), path)

    def load_weights(self, path: str) -> None:
        """An ``.npz`` of arrays by name."""
        arrays = np.load(path)
        self._facenet.load_state_dict({name: torch.tensor(arrays[name]) for name in arrays.files})

    def detect(self, picture: str) -> dict[str, Any]:
        boxes, scores, points = self._all.detect(_rgb(picture), landmarks=True)
        if boxes is None:
            return {"boxes": [], "scores": [], "points": []}
        return {
            "boxes": np.asarray(boxes, float).tolist(),
            "scores": np.asarray(scores, float).tolist(),
            "points": np.asarray(points, float).tolist(),
        }

    def embed_facenet(self, picture: str) -> list[float] | None:
        with torch.no_grad():
            face = self._largest(_rgb(picture))
            return None if face is None else self._facenet(face[None])[0].tolist()

    def embed_dlib(self, chip: str) -> list[float]:
        network = self._dlib_network()
        return list(network.compute_face_descriptor(np.asarray(_rgb(chip)), 0))

    def _dlib_network(self) -> Any:
        """Loaded when it is first needed."""
        if self._dlib is None:
            import dlib

            root = Path(next(p for p in sys.path if (Path(p) / "face_recognition_models").is_dir()))
            weights = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
            self._dlib = dlib.face_recognition_model_v1(str(root / weights))
        return self._dlib

    def milliseconds_from_file(self, picture: str, rounds: int) -> list[float]:
        """Processor time from file to embedding, each round; without the stand-in's share."""
        return [self._once(picture) for _ in range(rounds)]

    def _once(self, picture: str) -> float:
        spared = torchvision_standin.seconds
        started = time.process_time()
        with torch.no_grad():
            face = self._largest(_rgb(picture))
            if face is None:
                raise ValueError("the original finds no face")
            self._facenet(face[None])
        ended = time.process_time()
        return (ended - started - (torchvision_standin.seconds - spared)) * 1e3

    def watch(self, frames: list[str], portraits: dict[str, str]) -> dict[str, Any]:
        """Every frame (``.npy``, RGB) detected and each of its faces embedded, as its users do it.

        Returns the processor seconds of that, and the names on each frame. These come from dlib,
        by its own threshold, and are not charged: FaceNet's weights are random here.
        """
        known = {name: self._dlib_faces(_rgb(path))[0] for name, path in portraits.items()}
        seconds, names = 0.0, []
        for path in frames:
            image = Image.fromarray(np.load(path))
            spared, started = torchvision_standin.seconds, time.process_time()
            with torch.no_grad():
                boxes, _, points = self._all.detect(image, landmarks=True)
                if boxes is not None:
                    self._facenet(self._all.extract(image, boxes, None))
            seconds += time.process_time() - started - (torchvision_standin.seconds - spared)
            found = self._dlib_faces(image, points) if boxes is not None else []
            names.append(sorted({who for face in found if (who := _nearest(face, known))}))
        return {"seconds": seconds, "names": names}

    def _dlib_faces(self, image: Image.Image, points: Any = None) -> list[np.ndarray]:
        """Embeddings of the faces with these points, or of those found."""
        if points is None:
            points = self._all.detect(image, landmarks=True)[2]
        network = self._dlib_network()
        return [
            np.array(network.compute_face_descriptor(alignment.chip(image, np.array(marks)), 0))
            for marks in points
        ]

    def peak_mb(self) -> float:
        return memory.peak_mb()


SAME = 0.6
"""Distance within which dlib's users take two faces for one person's."""


def _nearest(face: np.ndarray, known: dict[str, np.ndarray]) -> str | None:
    apart, name = min((float(np.linalg.norm(face - other)), name) for name, other in known.items())
    return name if apart <= SAME else None


def _rgb(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def main() -> None:
    originals = Originals()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(originals, request.pop("do"))(**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
