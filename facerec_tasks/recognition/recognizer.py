"""Photo in, faces with names out: decoding, detection, embedding and search in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facerec_tasks.recognition.detection.detector import Detection, Detector, Points
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.gallery.gallery import (
    CANDIDATES,
    Candidate,
    EngineMismatch,
    Gallery,
    Match,
)
from facerec_tasks.recognition.images import decoding

CROP_SIDE = 640
"""Longest side in pixels of a photo that is tried again with a margin."""
MARGIN = 0.5
"""Share of width and height put around it, on every side."""


@dataclass(frozen=True)
class RecognizedFace:
    """One face. Coordinates are pixels of the upright original."""

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float
    """Probability that this is a face."""
    name: str | None
    """None: nobody known is near enough, or two are equally near."""
    distance: float | None
    confidence: float | None
    runner_up: str | None
    runner_up_distance: float | None
    candidates: tuple[Candidate, ...] = ()
    """The nearest people, nearest first, whether or not one of them is named."""
    person_id: str | None = None
    """Of the person who is named."""


@dataclass(frozen=True)
class Recognition:
    """Everything known about one photo."""

    faces: tuple[RecognizedFace, ...]
    """Largest first; empty when there is no face."""
    width: int
    height: int
    engine: str


@dataclass(frozen=True, eq=False)
class DetectedFaces:
    """The faces of one photo before anybody is named: what enrolment looks at."""

    picture: decoding.Picture
    detections: tuple[Detection, ...]
    """Largest first, in pixels of ``picture.rgb``."""
    embeddings: NDArray[np.float32]
    """One row for each detection."""


class Recognizer:
    """The engine with a gallery. Loaded once in the parent of prefork children; keeps no state."""

    def __init__(self, detector: Detector, embedder: Embedder, gallery: Gallery) -> None:
        """Raises :class:`EngineMismatch` when another engine, or precision, made the gallery."""
        made_by = (gallery.engine, gallery.precision)
        if made_by != (embedder.name, embedder.precision):
            raise EngineMismatch(
                f"the gallery holds embeddings of {' '.join(made_by)}, the engine is "
                f"{embedder.name} {embedder.precision}: enrol its people again with this engine, "
                "or switch them with `facerec people precision`"
            )
        self._detector = detector
        self._embedder = embedder
        self._gallery = gallery

    @classmethod
    def load(cls, models_dir: Path, gallery: Gallery) -> Self:
        """With the engine and precision the gallery names.

        Raises ``ModelMissing`` when a network is not there.
        """
        return cls(
            Detector(models_dir),
            Embedder(gallery.embedder, models_dir, gallery.precision),
            gallery,
        )

    @property
    def gallery(self) -> Gallery:
        return self._gallery

    @property
    def detector(self) -> Detector:
        """Another engine finds faces with the same."""
        return self._detector

    def fits(self, gallery: Gallery) -> bool:
        """Whether that gallery can be searched with this engine."""
        mine = (self._embedder.name, self._embedder.precision)
        return mine == (gallery.engine, gallery.precision)

    def with_gallery(self, gallery: Gallery) -> Self:
        """The same engine with another gallery; raises :class:`EngineMismatch`."""
        return type(self)(self._detector, self._embedder, gallery)

    def recognize(self, data: bytes, candidates: int = CANDIDATES) -> Recognition:
        """Every face in the photo with its name and so many nearest people.

        Raises :class:`Rejected`.
        """
        seen = self.detect_and_embed(data)
        picture = seen.picture
        matches = self._gallery.search(seen.embeddings, candidates) if seen.detections else []
        faces = tuple(
            _named(detection.transformed(picture.scale), match)
            for detection, match in zip(seen.detections, matches, strict=True)
        )
        return Recognition(faces, picture.width, picture.height, self._embedder.name)

    def detect_and_embed(self, data: bytes) -> DetectedFaces:
        """Every face in the photo with its embedding. Raises :class:`Rejected`."""
        picture = decoding.decode(data)
        detections, embeddings = self._faces(picture.rgb)
        return DetectedFaces(picture, tuple(detections), embeddings)

    def detect(self, rgb: NDArray[np.uint8]) -> Sequence[Detection]:
        """Faces of a picture height x width x 3, the largest first, without a second look."""
        return self._detector.detect(rgb)

    def embed(self, rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> NDArray[np.float32]:
        """One row for each detection."""
        return self._embedder.embed(rgb, detections)

    def chips(
        self, rgb: NDArray[np.uint8], detections: Sequence[Detection]
    ) -> list[NDArray[np.uint8]]:
        """What the embedder looks at of each detection, aligned: side x side x 3."""
        return self._embedder.chips(Image.fromarray(rgb), detections)

    def _faces(self, rgb: NDArray[np.uint8]) -> tuple[Sequence[Detection], NDArray[np.float32]]:
        detections = self._detector.detect(rgb)
        if not detections or _share(detections[0], rgb) > self._embedder.most_of_photo:
            padded, scale, offset = _with_margin(rgb)
            again = self._detector.detect(padded)
            if again:
                back = [detection.transformed(scale, offset) for detection in again]
                return back, self._embedder.embed(padded, again)
        return detections, self._embedder.embed(rgb, detections)


def _share(detection: Detection, rgb: NDArray[np.uint8]) -> float:
    """Of the photo's width or height that a face takes, whichever is more."""
    left, top, right, bottom = detection.box
    rows, columns = float(rgb.shape[0]), float(rgb.shape[1])
    return max((right - left) / columns, (bottom - top) / rows)


_Pair = tuple[float, float]


def _with_margin(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], _Pair, _Pair]:
    """A face that fills the photo has no surroundings to be told from: the edges are drawn out.

    Returns the padded picture, and the scale and offset that take its pixels back.
    """
    factor = -(-max(rgb.shape[:2]) // CROP_SIDE)
    small = np.asarray(Image.fromarray(rgb).reduce(factor)) if factor > 1 else rgb
    rows, columns = (round(side * MARGIN) for side in small.shape[:2])
    padded = np.pad(small, ((rows, rows), (columns, columns), (0, 0)), mode="edge")
    return padded, (factor, factor), (-columns * factor, -rows * factor)


def _named(detection: Detection, match: Match) -> RecognizedFace:
    return RecognizedFace(
        box=detection.box,
        landmarks=detection.landmarks,
        score=detection.score,
        name=match.name,
        distance=match.distance,
        confidence=match.confidence,
        runner_up=match.runner_up,
        runner_up_distance=match.runner_up_distance,
        candidates=match.candidates,
        person_id=match.person_id,
    )
