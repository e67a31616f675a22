"""A face as a point: photos of one person lie near each other, of two people far apart."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facerec_tasks.recognition import session
from facerec_tasks.recognition.detection.detector import Detection
from facerec_tasks.recognition.embedding import alignment
from facerec_tasks.recognition.embedding.precision import FP32, network_name

EmbedderName = Literal["resnet128", "facenet"]
ENGINES: dict[str, int] = {"resnet128": 128, "facenet": 512}
"""Every engine and the dimension of its embeddings."""

BATCH = 8
"""Faces a network looks at at once: bounds memory."""


class Embedder(Protocol):
    """What both engines offer. Distances between embeddings are Euclidean."""

    name: str
    dimension: int
    precision: str
    """See :mod:`.precision`."""
    most_of_photo: float
    """Share of the photo's width or height above which a face is found too badly to be embedded:
    the photo is looked at again with a margin around it."""

    def embed(self, rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> NDArray[np.float32]:
        """Embeddings n x dimension of the faces detected in ``rgb`` (height x width x 3)."""
        ...


class ResNet128:
    """dlib's ResNet: the face aligned by its landmarks, averaged with its mirror image."""

    name = "resnet128"
    dimension = 128
    most_of_photo = 0.9
    """Measured: from there on a margin halves the distance to the same face in the whole photo."""

    def __init__(self, models_dir: Path, precision: str = FP32) -> None:
        self.precision = precision
        network = network_name(self.name, precision)
        self._session = session.load(models_dir, network, self.name, precision)
        found = self._session.get_inputs()[0].shape[1:], self._session.get_outputs()[0].shape[1:]
        if found != ([3, alignment.CHIP, alignment.CHIP], [self.dimension]):
            raise session.ModelMissing(f"{network}.onnx in {models_dir} is another network")

    def embed(self, rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> NDArray[np.float32]:
        return _in_batches(self.chips(rgb, detections), self._embed, self.dimension)

    @staticmethod
    def chips(rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> list[NDArray[np.uint8]]:
        """The aligned faces, each 150 x 150 x 3."""
        picture = Image.fromarray(rgb)
        return [alignment.chip(picture, np.array(face.landmarks)) for face in detections]

    def _embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        both = np.empty((2, len(chips), 3, alignment.CHIP, alignment.CHIP), np.float32)
        both[0] = chips.transpose(0, 3, 1, 2)
        both[1] = both[0, :, :, :, ::-1]
        points = self._points(both.reshape(-1, *both.shape[2:]))
        mean: NDArray[np.float32] = points.reshape(2, len(chips), -1).mean(axis=0)
        return mean

    def of_chips(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """n x 128 for aligned faces n x 150 x 150 x 3, as dlib computes it: not mirrored."""
        return self._points(chips.transpose(0, 3, 1, 2).astype(np.float32, order="C"))

    def _points(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        points: NDArray[np.float32] = self._session.run(None, {"x": x})[0]
        return points


class FaceNet:
    """InceptionResnetV1 of VGGFace2: the detector's box, at 240 px, as the original cuts it.

    Not mirrored: the customers' galleries hold what facenet-pytorch computes.
    """

    name = "facenet"
    dimension = 512
    most_of_photo = math.inf
    """What the original finds in a tight crop, it embeds as it is."""
    side = 240
    """``MTCNN(image_size=240)`` of the original users."""

    def __init__(self, models_dir: Path, precision: str = FP32) -> None:
        self.precision = precision
        network = network_name(self.name, precision)
        self._session = session.load(models_dir, network, self.name, precision)

    def embed(self, rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> NDArray[np.float32]:
        picture = Image.fromarray(rgb)
        crops = [self._crop(picture, face.box) for face in detections]
        return _in_batches(crops, self._embed, self.dimension)

    def _crop(
        self, picture: Image.Image, box: tuple[float, float, float, float]
    ) -> NDArray[np.uint8]:
        """``extract_face`` of facenet-pytorch with margin 0."""
        left, top, right, bottom = box
        corners = (
            int(max(left, 0)),
            int(max(top, 0)),
            int(min(right, picture.width)),
            int(min(bottom, picture.height)),
        )
        return np.asarray(
            picture.crop(corners).resize((self.side, self.side), Image.Resampling.BILINEAR)
        )

    def _embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        x = crops.transpose(0, 3, 1, 2).astype(np.float32)
        x -= np.float32(127.5)
        x /= np.float32(128.0)
        points: NDArray[np.float32] = self._session.run(None, {"x": x})[0]
        return points


def load_embedder(name: str, models_dir: Path, precision: str = FP32) -> Embedder:
    """The engine ``name``. Raises :class:`session.ModelMissing`, or :class:`ValueError`."""
    engines: dict[str, Any] = {"resnet128": ResNet128, "facenet": FaceNet}
    if name not in engines:
        raise ValueError(f"no engine {name!r}; there are {', '.join(engines)}")
    embedder: Embedder = engines[name](models_dir, precision)
    return embedder


def _in_batches(faces: list[NDArray[np.uint8]], embed: Any, dimension: int) -> NDArray[np.float32]:
    parts = [embed(np.stack(faces[start : start + BATCH])) for start in range(0, len(faces), BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, dimension), np.float32)
