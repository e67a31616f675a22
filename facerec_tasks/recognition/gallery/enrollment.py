"""Enrollment of photos, with the quality checks that may refuse one."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from facerec_tasks.recognition.detection.detector import MIN_VISIBLE, Detection
from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.embedding.precision import FP32
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery, NoSuchPerson
from facerec_tasks.recognition.gallery.identifiers import is_id, new_id
from facerec_tasks.recognition.gallery.person_name import checked_name
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord
from facerec_tasks.recognition.recognizer import WHOLE, DetectedFaces, Recognizer
from facerec_tasks.recognition.rejection import Rejected

MIN_FACE = 18.0
"""Pixels of the shorter side of the face's box. A face shrunk to this is 0.4 from itself."""
RIVAL = 0.7
"""A second face of this share of the first one's area makes it unclear who is meant."""
MIN_SHARPNESS = 0.01
"""Of :func:`sharpness`: news photos have 0.04 and more, a face blurred until it is 0.4 from itself
has 0.011."""

SAME_FACE = 0.3
"""Least overlap of two boxes of one face, found at two times: detectors differ by a few pixels."""

_SHARPNESS_SIZE = 64


class Reason(StrEnum):
    """Why a photo is not enrolled: the whole list."""

    NOT_A_PHOTO = "not-a-photo"
    NO_FACE = "no-face"
    SEVERAL_FACES = "several-faces"
    CUT_OFF = "cut-off"
    TOO_SMALL = "too-small"
    BLURRED = "blurred"
    SOMEBODY_ELSE = "somebody-else"
    UNLIKE_THE_OTHERS = "unlike-the-others"


@dataclass(frozen=True)
class Refused:
    """A photo that would teach the wrong thing."""

    reason: Reason
    message: str


@dataclass(frozen=True, eq=False)
class Sample:
    """One good photo of one person."""

    photo: bytes
    """As it was given, in its own format."""
    embedding: Embeddings
    """[dimension]"""
    made_by: tuple[str, str, str | None] = (RESNET128.name, FP32, None)
    """:attr:`.Gallery.made_by` of the only galleries it may be enrolled in."""
    box: FaceBox | None = None
    """Which face of the photo it is."""

    @property
    def digest(self) -> str:
        """Names the photo by what is in it: 32 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.photo).hexdigest()[:32]


_CUT_OFF = Refused(Reason.CUT_OFF, "the picture's edge cuts the face")


class Enroller:
    """Looks at photos that are to be enrolled, with the engine their gallery asks for."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    @classmethod
    def load(cls, engine: str, models_dir: Path) -> Self:
        """Loads the networks of an engine in fp32; raises what their loaders raise."""
        return cls(Recognizer.load(models_dir, Gallery.empty(engine)))

    def examine(self, photo: bytes, *, strict: bool = True) -> Sample | Refused:
        """The face on a photo, or why it is not taken.

        ``strict=False`` takes small and blurred faces as well.
        """
        try:
            found = self._recognizer.detect_and_embed(photo)
        except Rejected as rejection:
            return Refused(Reason.NOT_A_PHOTO, rejection.message)
        least = WHOLE if strict else MIN_VISIBLE
        whole = [nth for nth, face in enumerate(found.detections) if face.visible >= least]
        if refused := _unclear(found.detections, whole):
            return refused
        return self._sample(photo, found, whole[0], strict=strict)

    def samples(
        self, photo: bytes, found: DetectedFaces, *, strict: bool = True
    ) -> list[Sample | Refused]:
        """Each face that was found on a photo, or why it is not taken; in their order there."""
        return [
            self._sample(photo, found, nth, strict=strict) for nth in range(len(found.detections))
        ]

    def _sample(
        self, photo: bytes, found: DetectedFaces, nth: int, *, strict: bool
    ) -> Sample | Refused:
        if strict and (refused := poor(found, nth)):
            return refused
        if found.detections[nth].visible < MIN_VISIBLE:
            return _CUT_OFF
        made_by = self._recognizer.gallery.made_by
        return Sample(photo, found.embeddings[nth], made_by, box_of(found, nth))


class Batch:
    """Photos enrolled together: each is also compared with those that came before it."""

    def __init__(
        self,
        enroller: Enroller,
        gallery: Gallery,
        *,
        strict: bool = True,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """``names`` gives the name of people who are to be made under a chosen id."""
        self._enroller = enroller
        self._strict = strict
        self._names = names or {}
        self.gallery = gallery
        """Everybody who was known, and the new photos."""
        self.samples: dict[str, list[Sample]] = {}
        """The new photos by person, as they were given."""

    def add(self, person: str, photo: bytes) -> Refused | None:
        """Takes a photo of a person, given by id or name, or says why not.

        Raises :class:`.NoSuchPerson` for an id nobody has and :class:`.AmbiguousName`.
        """
        if not is_id(person):
            person = checked_name(person)
        sample = self._enroller.examine(photo, strict=self._strict)
        if isinstance(sample, Refused):
            return sample
        check_made_by(sample, self.gallery)
        if self._strict and (somebody := conflict(sample, person, self.gallery)):
            return somebody
        self.samples.setdefault(person, []).append(sample)
        record = FaceRecord(new_id(), sample.digest, sample.box)
        row = sample.embedding[np.newaxis]
        self.gallery = with_faces(self.gallery, person, self._names, row, [record])
        return None


def with_faces(
    gallery: Gallery,
    person: str,
    names: Mapping[str, str],
    embeddings: Embeddings,
    records: Sequence[FaceRecord],
) -> Gallery:
    """The person with further faces; ``names`` as for :class:`Batch`."""
    if person in names and person not in gallery.ids:
        return gallery.with_new_person(person, names[person], embeddings, records)
    return gallery.with_person(person, embeddings, (), records)


def conflict(sample: Sample, person: str, gallery: Gallery) -> Refused | None:
    """Whether the face is somebody else's, or is not that of the person's other photos.

    ``person`` is an id or a name. Raises :class:`.AmbiguousName`.
    """
    if gallery.threshold is None:
        return None
    try:
        known = gallery.ids[gallery.index(person)]
    except NoSuchPerson:
        known = None
    (match,) = gallery.search(sample.embedding[np.newaxis])
    near = (
        match.distance is not None and match.distance <= gallery.threshold - gallery.embedder.alike
    )
    if near and match.candidates[0].person_id != known:
        return Refused(
            Reason.SOMEBODY_ELSE,
            f"this looks like {match.nearest}, who is enrolled (distance {match.distance:.2f})",
        )
    if known is None:
        return None
    distance = gallery.distance(known, sample.embedding)
    if distance > gallery.verification_threshold + gallery.embedder.unlike:
        name = gallery.names[gallery.index(known)]
        return Refused(
            Reason.UNLIKE_THE_OTHERS,
            f"this is not the face on the other photos of {name} (distance {distance:.2f})",
        )
    return None


def face_at(found: DetectedFaces, box: FaceBox | None) -> int | None:
    """Which of the faces is at that box of the photo; without one, the largest."""
    if not found.detections or box is None:
        return 0 if found.detections else None
    overlaps = [box_of(found, nth).overlap(box) for nth in range(len(found.detections))]
    nth = int(np.argmax(overlaps))
    return nth if overlaps[nth] >= SAME_FACE else None


def box_of(found: DetectedFaces, nth: int) -> FaceBox:
    """Where on its photo that face is."""
    face, picture = found.in_original()[nth], found.picture
    return FaceBox.of_pixels(face.box, face.score, picture.width, picture.height)


def check_made_by(sample: Sample, gallery: Gallery) -> None:
    """Raises :class:`EngineMismatch` for a sample whose embedding must not enter the gallery."""
    if sample.made_by != gallery.made_by:
        raise EngineMismatch(
            f"the people have been switched to {' '.join(gallery.made_by[:2])} while a photo was "
            f"looked at in {' '.join(sample.made_by[:2])}: enrol it again"
        )


def sharpness(picture: Image.Image, box: tuple[float, float, float, float]) -> float:
    """Variance of the Laplacian of a face at one size for all, over the variance of its grays.

    The measure is that of Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
    2000; the division keeps a dark photo from being taken for a blurred one.
    """
    face = cropped(picture, box).convert("L")
    small = face.resize((_SHARPNESS_SIZE, _SHARPNESS_SIZE), Image.Resampling.BILINEAR)
    gray = np.asarray(small, np.float32)
    laplacian = (
        gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * gray[1:-1, 1:-1]
    )
    return float(laplacian.var() / max(gray.var(), 1.0))


def cropped(picture: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """What of a box, in pixels, is on the picture; a side may be 0."""
    left, top, right, bottom = (max(0, round(edge)) for edge in box)
    right, bottom = min(right, picture.width), min(bottom, picture.height)
    return picture.crop((left, top, max(left, right), max(top, bottom)))


def _unclear(faces: Sequence[Detection], whole: Sequence[int]) -> Refused | None:
    """``whole``: which of ``faces`` the picture's edge does not cut, in their order."""
    if not faces:
        return Refused(Reason.NO_FACE, "there is no face on it")
    if not whole:
        return _CUT_OFF
    least = RIVAL * faces[whole[0]].visible_area
    if any(face.visible_area >= least for nth, face in enumerate(faces) if nth != whole[0]):
        return Refused(Reason.SEVERAL_FACES, "there are several faces of like size on it")
    return None


def poor(found: DetectedFaces, nth: int) -> Refused | None:
    """Why a face is not good enough to know somebody by."""
    face = found.detections[nth]
    if face.visible < WHOLE:
        return _CUT_OFF
    left, top, right, bottom = face.box
    side = min(right - left, bottom - top)
    if side < MIN_FACE:
        return Refused(
            Reason.TOO_SMALL, f"the face is {side:.0f} pixels wide, {MIN_FACE:.0f} are needed"
        )
    if sharpness(found.detail, face.box) < MIN_SHARPNESS:
        return Refused(Reason.BLURRED, "the face is blurred")
    return None
