"""Every face of a photo: the cascade, and further looks where one look does not do.

The detector sees a copy of at most 1,280 pixels. Faces that fill the photo, lie on their side or
are small in a large photo are missed there, so the finder looks again: with a margin, at the photo
turned by quarters, and at a larger copy. Each of these costs something only when it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facerec_tasks.recognition.detection.boxes import non_maximum_suppression_min
from facerec_tasks.recognition.detection.detector import Detection, Detector
from facerec_tasks.recognition.images.picture import Picture

CROP_SIDE = 640
"""Longest side in pixels of a photo that is tried again, with a margin or turned."""
MARGIN = 0.5
"""Share of width and height put around it, on every side."""
SURE = 0.98
"""Score a face needs on a photo that was turned for it: four looks find four times as many things
that are no faces."""
CERTAIN = 0.997
"""Score from which on the photo is not turned: faces on their heads pass for upright ones below."""
LARGE_SIDE = 3000
"""Pixels of the longer side of the larger copy: faces of 20 pixels there are found."""
LARGE = 1.25
"""How many times larger than the first copy a photo must be for a look at the larger one."""
SMALL_FACE = 48
"""Pixels of a face in the first copy below which there may be others too small for it."""
SAME = 0.6
"""Share of the smaller box within another from which on two looks have found one face."""

RGB = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """Faces of one picture."""

    detections: tuple[Detection, ...]
    """In pixels of ``Picture.rgb`` as it was looked at: turned by :attr:`quarters`."""
    quarters: int = 0
    """Quarter turns to the left that make the faces upright, 0 to 3."""
    left_out: int = 0
    """Further faces, beyond the detector's limit: at least this number."""


class FaceFinder:
    """Finds the faces of photos; keeps no state between them."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def find(self, picture: Picture, most_of_photo: float) -> FoundFaces:
        """The faces, the largest visible first and those cut off by the edge last.

        ``most_of_photo``: share of the photo's width or height above which a face is looked at
        again with a margin around the photo.
        """
        rgb, quarters = picture.rgb, 0
        faces = self._with_margin(rgb, most_of_photo)
        if _best(faces) < CERTAIN:
            faces, quarters = self._turned(rgb, faces, most_of_photo)
        if picture.shrunk_by > LARGE and _may_hide_others(faces):
            faces = _united(self._small(picture, quarters), faces)
        faces.sort(key=Detection.rank, reverse=True)
        most = self._detector.limits.faces
        return FoundFaces(tuple(faces[:most]), quarters, max(0, len(faces) - most))

    def _with_margin(self, rgb: RGB, most_of_photo: float) -> list[Detection]:
        faces = self._detector.detect_all(rgb)
        if faces and max(_share(face, rgb) for face in faces[:1]) <= most_of_photo:
            return faces
        padded, scale, offset = _padded(rgb)
        rows, columns = rgb.shape[:2]
        detect = self._detector.detect_all if faces else self._detector.detect_prominent
        again = [face.transformed(scale, offset).seen_in(columns, rows) for face in detect(padded)]
        return again or faces

    def _turned(
        self, rgb: RGB, upright: list[Detection], most_of_photo: float
    ) -> tuple[list[Detection], int]:
        """A photo that lies on its side or head and does not say so."""
        small = reduced(Image.fromarray(rgb), CROP_SIDE)
        views = {quarters: np.rot90(small, quarters) for quarters in range(4)}
        scores = {0: _best(upright)} | {
            quarters: self._score(views[quarters]) for quarters in (1, 2, 3)
        }
        sure = {quarters: score for quarters, score in scores.items() if score >= SURE}
        if len(sure) > 1:  # the mirror image decides
            sure = {each: score + self._score(views[each][:, ::-1]) for each, score in sure.items()}
        best = max(sure, key=lambda quarters: sure[quarters], default=0)
        if best == 0:
            return upright, 0
        turned = np.ascontiguousarray(np.rot90(rgb, best))
        return self._with_margin(turned, most_of_photo), best

    def _score(self, rgb: RGB) -> float:
        return _best(self._detector.detect_prominent(np.ascontiguousarray(rgb)))

    def _small(self, picture: Picture, quarters: int) -> list[Detection]:
        """Faces too small for the first copy, in its pixels."""
        detail = picture.detail(LARGE_SIDE)
        large = np.ascontiguousarray(np.rot90(reduced(detail, LARGE_SIDE), quarters))
        rows, columns = np.rot90(picture.rgb, quarters).shape[:2]
        scale = columns / large.shape[1], rows / large.shape[0]
        return [
            face.transformed(scale)
            for face in self._detector.detect_small(large, SMALL_FACE / min(scale))
        ]


def _best(faces: Sequence[Detection]) -> float:
    return max((face.score for face in faces), default=0.0)


def upright_detail(picture: Picture, found: FoundFaces, face_side: float) -> Image.Image:
    """The picture to cut the faces from: so large that the smallest is ``face_side`` pixels.

    Turned as the faces are; as large as the original allows.
    """
    smallest = min((face.side for face in found.detections), default=face_side)
    rows, columns = picture.rgb.shape[:2]
    wanted = round(max(rows, columns) * max(1.0, face_side / max(smallest, 1.0)))
    detail = picture.detail(wanted)
    return detail.transpose(_QUARTERS[found.quarters]) if found.quarters else detail


_QUARTERS = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}


def turned_back(face: Detection, quarters: int, width: float, height: float) -> Detection:
    """A face of a picture turned to the left by quarters, in the picture as it was.

    ``width`` and ``height`` are those of the picture before it was turned.
    """
    for turn in range(quarters):
        # A point (x, y) of a picture w wide is (y, w - x) after one quarter to the left.
        side = width if (quarters - turn) % 2 else height
        left, top, right, bottom = face.box
        box = (side - bottom, left, side - top, right)
        points = tuple((side - y, x) for x, y in face.landmarks)
        face = Detection(box, face.score, points, face.visible)
    return face


def _may_hide_others(faces: Sequence[Detection]) -> bool:
    return not faces or min(face.side for face in faces) < SMALL_FACE


def _united(small: Sequence[Detection], faces: Sequence[Detection]) -> list[Detection]:
    """Both, each face once: small ones as the larger copy shows them."""
    both = [*small, *faces]
    if not small or not faces:
        return both
    # Those of the larger copy win while they are small in the first one.
    scores = [2.0 if face.side < SMALL_FACE else 1.0 for face in small] + [1.5] * len(faces)
    boxes = np.array([face.box for face in both], np.float32)
    kept = non_maximum_suppression_min(boxes, np.array(scores, np.float32), SAME)
    return [both[index] for index in kept.tolist()]


def _share(face: Detection, rgb: RGB) -> float:
    """Of the photo's width or height that a face takes, whichever is more."""
    left, top, right, bottom = face.box
    rows, columns = float(rgb.shape[0]), float(rgb.shape[1])
    return max((right - left) / columns, (bottom - top) / rows)


_Pair = tuple[float, float]


def _padded(rgb: RGB) -> tuple[RGB, _Pair, _Pair]:
    """A face that fills the photo has no surroundings to be told from: the edges are drawn out.

    Returns the padded picture, and the scale and offset that take its pixels back.
    """
    factor = -(-max(rgb.shape[:2]) // CROP_SIDE)
    small = np.asarray(Image.fromarray(rgb).reduce(factor)) if factor > 1 else rgb
    rows, columns = (round(side * MARGIN) for side in small.shape[:2])
    padded = np.pad(small, ((rows, rows), (columns, columns), (0, 0)), mode="edge")
    return padded, (factor, factor), (-columns * factor, -rows * factor)


def reduced(image: Image.Image, longest: int) -> RGB:
    """At most ``longest`` pixels on a side, by averaging."""
    if (factor := max(image.size) // longest) > 1:
        image = image.reduce(factor)
    if (side := max(image.size)) > longest:
        size = tuple(max(1, round(edge * longest / side)) for edge in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    return np.asarray(image)
