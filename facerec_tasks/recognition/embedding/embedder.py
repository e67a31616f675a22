"""Computes the embedding of an aligned face by an ONNX network."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facerec_tasks.recognition import session
from facerec_tasks.recognition.detection.detector import Detection
from facerec_tasks.recognition.embedding import alignment
from facerec_tasks.recognition.embedding.description import EmbedderDescription
from facerec_tasks.recognition.embedding.precision import FP32, network_name

BATCH = 8
"""Faces a network looks at at once, where the network leaves it open: bounds memory."""

Chip = NDArray[np.uint8]
"""One aligned face, side x side x 3, RGB."""


class Embedder:
    """A face-embedding network in ONNX, run as its description says.

    The name of the input and, where the network has one, its fixed batch are read from the file.
    """

    def __init__(
        self, description: EmbedderDescription, models_dir: Path, precision: str = FP32
    ) -> None:
        """Raises :class:`session.ModelMissing`, also when the file is another network."""
        self.description = description
        self.precision = precision
        network = network_name(description.name, precision)
        self._session = session.load(models_dir, network, description.name, precision)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        side, shape = description.side, list(inputs[0].shape)
        fits = (
            len(inputs) == 1
            and len(shape) == 4
            and all(map(_is_or_free, shape[1:], (3, side, side)))
            and _is_or_free(outputs[0].shape[-1] if outputs[0].shape else 0, description.dimension)
        )
        if not fits:
            raise session.ModelMissing(f"{network}.onnx in {models_dir} is another network")
        self._input, self._output = inputs[0].name, outputs[0].name
        self._batch = shape[0] if isinstance(shape[0], int) else None

    @property
    def most_of_photo(self) -> float:
        """See :attr:`EmbedderDescription.most_of_photo`; infinity for never."""
        most = self.description.most_of_photo
        return math.inf if most is None else most

    @property
    def face_side(self) -> float:
        """Pixels of a face's longer side from which on more of them make no better chip."""
        template = self.description.template
        if template is None:
            return float(self.description.side)
        (left, _), (right, _), *_ = template
        return 2 * (right - left)  # MTCNN's box is three times as high as the eyes are apart

    def embed(
        self, picture: NDArray[np.uint8] | Image.Image, detections: Sequence[Detection]
    ) -> NDArray[np.float32]:
        """Embeddings n x dimension of the faces detected in ``picture``.

        ``picture``: height x width x 3, or an RGB image.
        """
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        return self.embed_chips(self.chips(image, detections))

    def chips(self, picture: Image.Image, detections: Sequence[Detection]) -> list[Chip]:
        """What the network looks at, of every face detected in an RGB picture."""
        side, template = self.description.side, self.description.template
        if template is None:
            return [_box(picture, face.box, side) for face in detections]
        target = np.array(template)
        return [
            alignment.chip(picture, np.array(face.landmarks), target, side) for face in detections
        ]

    def embed_chips(self, chips: Sequence[Chip]) -> NDArray[np.float32]:
        """Embeddings n x dimension of aligned faces."""
        parts = [
            self._embed(np.stack(chips[start : start + BATCH]))
            for start in range(0, len(chips), BATCH)
        ]
        none = np.empty((0, self.description.dimension), np.float32)
        return np.concatenate([none, *parts])

    def embed_unmirrored(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """n x dimension for n x side x side x 3, as the network alone computes it."""
        return self._run(self._input_of(chips))

    def _embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        x = self._input_of(chips)
        if self.description.mirrored:
            both = self._run(np.concatenate([x, x[:, :, :, ::-1]]))
            points: NDArray[np.float32] = both.reshape(2, len(chips), -1).mean(axis=0)
        else:
            points = self._run(x)
        if self.description.metric == "cosine":
            points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
        return points

    def _input_of(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        described = self.description
        if described.color == "bgr":
            chips = chips[:, :, :, ::-1]
        x = chips.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        if described.mean:
            x -= np.float32(described.mean)
        if described.scale != 1:
            x /= np.float32(described.scale)
        return x

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._batch is None:
            return self._points(x)
        parts = []
        for start in range(0, len(x), self._batch):
            part = x[start : start + self._batch]
            missing = self._batch - len(part)
            padded = np.concatenate([part, np.zeros_like(x[:1]).repeat(missing, axis=0)])
            parts.append(self._points(padded)[: len(part)])
        return np.concatenate(parts)

    def _points(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        points: NDArray[np.float32] = self._session.run([self._output], {self._input: x})[0]
        return points.reshape(len(x), self.description.dimension)


def _is_or_free(found: object, wanted: int) -> bool:
    """A dimension of a network's shape is a number, or a name where it is free."""
    return not isinstance(found, int) or found == wanted


def _box(picture: Image.Image, box: tuple[float, float, float, float], side: int) -> Chip:
    """``extract_face`` of facenet-pytorch with margin 0."""
    left, top, right, bottom = box
    corners = (
        int(max(left, 0)),
        int(max(top, 0)),
        int(min(right, picture.width)),
        int(min(bottom, picture.height)),
    )
    return np.asarray(picture.crop(corners).resize((side, side), Image.Resampling.BILINEAR))
