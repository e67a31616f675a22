"""``resnet128`` in eight-bit integers: two and a half times as fast. Only conversion uses this.

Static quantization by ONNX Runtime: weights per channel, activations by the range they have on
photos of one's own. Weights get seven bits: with eight, processors without VNNI would overflow in
their sums (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html), and two
machines of a fleet would see two different faces.
"""

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from facerec_tasks.recognition import session
from facerec_tasks.recognition.embedding import precision
from facerec_tasks.recognition.embedding.alignment import CHIP
from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.photo_folder import photos_of
from facerec_tasks.recognition.gallery.precision_check import Accuracy
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.recognition.rejection import Rejected

Photo = TypeVar("Photo")

FEWEST_FACES = 10
MOST_FACES = 128
"""Faces a network is calibrated on. Sixty and ten differ by less than a thousandth in accuracy."""


class TooFewFaces(Exception):
    """Raised when there are not enough faces to measure activations on."""


class Worse(Exception):
    """Raised when an int8 network is not kept: it costs too much accuracy, or none can tell."""


@dataclass(frozen=True)
class Tried:
    """An int8 network and what it is worth."""

    network: bytes
    precision: str
    before: Accuracy
    """In fp32."""
    after: Accuracy
    """In int8."""


def tried_on(models_dir: Path, folder: Path) -> Tried:
    """The int8 network made from a folder of people, NAME/*.jpg, and compared on it.

    Takes the largest face of every photo. Raises :class:`TooFewFaces`,
    :class:`~.photo_folder.NotAFolder` and :class:`session.ModelMissing`.
    """
    photos = photos_of(folder)
    fp32 = Recognizer.load(models_dir, Gallery.empty("resnet128"))
    some = (path.read_bytes() for _, path in drawn(photos))
    network = quantized(models_dir, faces_of(fp32, some))
    name = precision.of_network(network)
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / f"{precision.network_name('resnet128', name)}.onnx"
        file.write_bytes(network)
        embedder = Embedder(RESNET128, file.parent, name)
        empty = Gallery.empty("resnet128", precision=name)
        int8 = Recognizer(fp32.detector, embedder, empty)
        before, after = (Accuracy.of(_gallery(engine, photos)) for engine in (fp32, int8))
    return Tried(network, name, before, after)


def drawn(photos: Sequence[Photo]) -> list[Photo]:
    """Those a network is made from: the same ones every time, in their order."""
    chosen = np.random.default_rng(0).permutation(len(photos))[:MOST_FACES]
    return [photos[index] for index in sorted(chosen.tolist())]


def faces_of(recognizer: Recognizer, photos: Iterable[bytes]) -> NDArray[np.uint8]:
    """The largest face of each photo, aligned: n x 150 x 150 x 3. Without those that have none."""
    chips = [chip for photo in photos for chip in _largest(recognizer, photo)]
    return np.array(chips, np.uint8).reshape(-1, CHIP, CHIP, 3)


def _largest(recognizer: Recognizer, photo: bytes) -> list[NDArray[np.uint8]]:
    try:
        seen = recognizer.detect_and_embed(photo)
    except Rejected:
        return []
    return recognizer.embedder.chips(seen.detail, seen.detections[:1])


def _gallery(recognizer: Recognizer, photos: list[tuple[str, Path]]) -> Gallery:
    batch = Batch(Enroller(recognizer), recognizer.gallery, strict=False)
    for name, path in photos:
        batch.add(name, path.read_bytes())
    return batch.gallery


def quantized(models_dir: Path, faces: NDArray[np.uint8]) -> bytes:
    """The int8 network made from ``resnet128.onnx`` and aligned faces n x 150 x 150 x 3.

    Raises :class:`TooFewFaces` and :class:`session.ModelMissing`.
    """
    if len(faces) < FEWEST_FACES:
        raise TooFewFaces(f"{FEWEST_FACES} faces at least are needed, {len(faces)} were found")
    network = models_dir / "resnet128.onnx"
    if not network.is_file():
        raise session.ModelMissing(
            f"{network} is missing; {session.REMEDY.format(models_dir, 'resnet128')}"
        )
    # Imported here: it takes a second, and it warns through the root logger.
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    logging.getLogger().addFilter(_no_advice)
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "int8.onnx"
            quantize_static(
                network,
                made,
                _Mirrored(faces[:MOST_FACES]),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
            model = onnx.load(made)
    finally:
        logging.getLogger().removeFilter(_no_advice)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _no_advice(record: logging.LogRecord) -> bool:
    """Whether to tell: not that the network could be prepared otherwise, which changes nothing."""
    return "pre-processing" not in record.getMessage()


class _Mirrored:
    """Each face with its mirror image, as ``CalibrationDataReader`` wants them."""

    def __init__(self, faces: NDArray[np.uint8]) -> None:
        self._left = iter(faces.transpose(0, 3, 1, 2).astype(np.float32))

    def get_next(self) -> dict[str, Any] | None:
        face = next(self._left, None)
        return None if face is None else {"x": np.stack([face, face[:, :, ::-1]])}
