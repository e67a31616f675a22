"""Photo in, faces with names out: decoding, detection, embedding and search in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facerec_tasks.recognition.detection.detector import (
    MIN_SCORE,
    MIN_VISIBLE,
    Detection,
    Detector,
    Points,
)
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.face_finder import (
    FaceFinder,
    FoundFaces,
    reduced,
    turned_back,
    upright_detail,
)
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery, Match
from facerec_tasks.recognition.gallery.matching import CANDIDATES, NearestPerson
from facerec_tasks.recognition.images import decoding
from facerec_tasks.recognition.images.limits import LIMITS
from facerec_tasks.recognition.images.picture import Picture

CUT_OFF = "cut-off"
"""Reason of a face that is not named, or less surely: the picture's edge cuts it."""
WHOLE = 0.8
"""Share of a face inside the picture from which on it is as good as a whole one, see
:data:`~.detection.detector.MIN_VISIBLE`."""


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
    candidates: tuple[NearestPerson, ...] = ()
    """The nearest people, nearest first, whether or not one of them is named."""
    person_id: str | None = None
    """Of the person who is named."""
    visible: float = 1.0
    """How much of the face is inside the picture, 0 to 1."""
    reason: str | None = None
    """:data:`CUT_OFF` when ``name`` was withheld, or ``confidence`` lowered, for that."""


@dataclass(frozen=True)
class Recognition:
    """Everything known about one photo."""

    faces: tuple[RecognizedFace, ...]
    """The largest visible first, those cut off by the edge last; empty when there is no face."""
    width: int
    height: int
    engine: str
    left_out: int = 0
    """Faces beyond the detector's limit that are not among ``faces``: at least this number."""
    frame: int = 0
    """Which page of a document, or frame of an animation, from 0: the first one with a face."""


@dataclass(frozen=True, eq=False)
class DetectedFaces:
    """The faces of one photo before they are named: what enrollment looks at."""

    picture: Picture
    detail: Image.Image
    """What the faces are cut from: ``picture``, perhaps larger, turned so that they are upright."""
    detections: tuple[Detection, ...]
    """In pixels of ``detail``, in the order of :class:`Recognition`."""
    embeddings: NDArray[np.float32]
    """One row for each detection."""
    quarters: int = 0
    """Quarter turns to the left from ``picture`` to ``detail``."""
    left_out: int = 0

    def in_original(self) -> tuple[Detection, ...]:
        """The detections in pixels of the upright original."""
        width, height = self.picture.width, self.picture.height
        sides = (width, height) if self.quarters % 2 == 0 else (height, width)
        scale = sides[0] / self.detail.width, sides[1] / self.detail.height
        return tuple(
            turned_back(face.transformed(scale), self.quarters, width, height)
            for face in self.detections
        )


class Recognizer:
    """The engine with a gallery. Loaded once in the parent of prefork children; keeps no state."""

    def __init__(self, detector: Detector, embedder: Embedder, gallery: Gallery) -> None:
        """Raises :class:`EngineMismatch` when another engine, or precision, made the gallery."""
        if (gallery.embedder, gallery.precision) != (embedder.description, embedder.precision):
            raise EngineMismatch(
                f"the gallery holds embeddings of {gallery.engine} {gallery.precision}, the engine "
                f"is {embedder.description.name} {embedder.precision}: switch its people with "
                "`facerec people engine` or `facerec people precision`"
            )
        self.detector, self.embedder, self.gallery = detector, embedder, gallery
        self._finder = FaceFinder(detector)

    @classmethod
    def load(cls, models_dir: Path, gallery: Gallery, min_score: float = MIN_SCORE) -> Self:
        """With the engine and precision the gallery names.

        ``min_score``: what the detector must give a face, 0.7 to 1. Raises ``ModelMissing`` when a
        network is not there.
        """
        return cls(
            Detector(models_dir, min_score=min_score),
            Embedder(gallery.embedder, models_dir, gallery.precision),
            gallery,
        )

    def fits(self, gallery: Gallery) -> bool:
        """Whether that gallery can be searched with this engine."""
        mine = (self.embedder.description, self.embedder.precision)
        return mine == (gallery.embedder, gallery.precision)

    def with_gallery(self, gallery: Gallery) -> Self:
        """The same engine with another gallery; raises :class:`EngineMismatch`."""
        return type(self)(self.detector, self.embedder, gallery)

    def recognize(self, data: bytes, candidates: int = CANDIDATES) -> Recognition:
        """Every face in the photo with its name and the nearest people.

        Raises :class:`Rejected`.
        """
        return self.identify(self.detect_and_embed(data), candidates)

    def identify(self, found: DetectedFaces, candidates: int = CANDIDATES) -> Recognition:
        """The faces of a photo with their names."""
        picture = found.picture
        matches = self.gallery.search(found.embeddings, candidates) if found.detections else []
        return Recognition(
            tuple(map(_named, found.in_original(), matches)),
            picture.width,
            picture.height,
            self.embedder.description.name,
            found.left_out,
            picture.frame,
        )

    def detect_and_embed(self, data: bytes) -> DetectedFaces:
        """Every face in the photo with its embedding. Raises :class:`Rejected`.

        Of a document or an animation it is the first page or frame with a face, of a few.
        """
        picture = decoding.decode(data)
        found = self._finder.find(picture, self.embedder.most_of_photo)
        if not found.detections:
            picture, found = self._on_another_frame(data, picture, found)
        detail = upright_detail(picture, found, self.embedder.face_side)
        rows, columns = np.rot90(picture.rgb, found.quarters).shape[:2]
        scale = detail.width / columns, detail.height / rows
        faces = tuple(face.transformed(scale) for face in found.detections)
        embeddings = self.embedder.embed(detail, faces)
        return DetectedFaces(picture, detail, faces, embeddings, found.quarters, found.left_out)

    def _on_another_frame(
        self, data: bytes, picture: Picture, found: FoundFaces
    ) -> tuple[Picture, FoundFaces]:
        for frame in decoding.further_frames(data):
            if faces := self.detector.detect(frame.rgb):
                return frame, FoundFaces(tuple(faces))
        return picture, found

    def detect(self, rgb: NDArray[np.uint8]) -> Sequence[Detection]:
        """Faces of a picture height x width x 3, the largest first, without a second look.

        Those of a picture of more than 1,280 pixels are looked for in a smaller copy.
        """
        small = reduced(Image.fromarray(rgb), LIMITS.longest_side)
        scale = rgb.shape[1] / small.shape[1], rgb.shape[0] / small.shape[0]
        return [face.transformed(scale) for face in self.detector.detect(small)]

    def embed(self, rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> NDArray[np.float32]:
        """One row for each detection."""
        return self.embedder.embed(rgb, detections)


def _named(face: Detection, match: Match) -> RecognizedFace:
    whole, is_shown = face.visible >= WHOLE, face.visible >= MIN_VISIBLE
    confidence = match.confidence
    if not whole and match.name is not None and confidence is not None:
        confidence = round(confidence * face.visible, 4)
    return RecognizedFace(
        box=face.box,
        landmarks=face.landmarks,
        score=face.score,
        name=match.name if is_shown else None,
        distance=match.distance,
        confidence=confidence,
        runner_up=match.runner_up,
        runner_up_distance=match.runner_up_distance,
        candidates=match.candidates,
        person_id=match.person_id if is_shown else None,
        visible=round(face.visible, 4),
        reason=None if whole else CUT_OFF,
    )
