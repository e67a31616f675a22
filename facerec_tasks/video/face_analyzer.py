"""What the analysis of a video needs of the engine, and faces cut out to be looked at later."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import PlainSerializer, PlainValidator

from facerec_tasks.recognition.detection.detector import Detection
from facerec_tasks.recognition.embedding.metrics import Embeddings, EncodedEmbedding
from facerec_tasks.recognition.gallery.gallery import Gallery

MARGIN = 0.5
"""Share of the face's longer side kept around it: what alignment may reach for."""
LARGEST = 200
"""Pixels of the longer side of a face that is kept; engines look at 150 and 240."""
SHARP = 12.0
"""Mean step between neighboring pixels, of 255, of a face that is in focus."""
ENOUGH = 100.0
"""Pixels of the longer side from which on a larger face is no better."""


def _to_png(rgb: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def _from_png(text: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as picture:
        return np.asarray(picture.convert("RGB"))


EncodedPicture = Annotated[NDArray[np.uint8], PlainValidator(_from_png), PlainSerializer(_to_png)]
"""In JSON without loss, so that who goes on from a checkpoint comes to the same end."""


class FaceAnalyzer(Protocol):
    """The engine with its gallery: a ``Recognizer``."""

    @property
    def gallery(self) -> Gallery: ...

    def detect(self, rgb: NDArray[np.uint8]) -> Sequence[Detection]:
        """Faces, the largest first."""
        ...

    def embed(self, rgb: NDArray[np.uint8], detections: Sequence[Detection]) -> Embeddings:
        """One row for each detection."""
        ...


@dataclass(eq=False)
class FaceCrop:
    """One face in one frame, small enough to keep; embedded on first use."""

    rgb: EncodedPicture
    face: Detection
    """In pixels of ``rgb``."""
    time: float
    quality: float
    """How well the face can be recognized, 0 to 1: size, focus, and whether it looks at us."""
    embedding: EncodedEmbedding | None = None

    @classmethod
    def of(cls, frame: NDArray[np.uint8], face: Detection, time: float) -> Self:
        """Cuts a face out of a frame."""
        left, top, right, bottom = face.box
        side = max(right - left, bottom - top, 1.0)
        rows, columns = frame.shape[:2]
        x0, x1 = _reach(left, right, MARGIN * side, columns)
        y0, y1 = _reach(top, bottom, MARGIN * side, rows)
        rgb, face = frame[y0:y1, x0:x1], face.transformed(offset=(-x0, -y0))
        if side > LARGEST:
            share = LARGEST / side
            size = max(1, round((x1 - x0) * share)), max(1, round((y1 - y0) * share))
            rgb = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
            face = face.transformed(scale=(share, share))
        rgb = rgb.copy()  # not a view that keeps the whole frame
        return cls(rgb, face, time, _quality(rgb, face, side))

    def embedded_by(self, analyzer: FaceAnalyzer) -> Embeddings:
        """Its embedding [dimension]."""
        if self.embedding is None:
            self.embedding = analyzer.embed(self.rgb, [self.face])[0]
        return self.embedding

    def portrait(self, side: int) -> bytes:
        """A square JPEG of the face for a person to look at."""
        left, top, right, bottom = self.face.box
        half = max(right - left, bottom - top) * 0.75
        x, y = (left + right) / 2, (top + bottom) / 2
        rows, columns = self.rgb.shape[:2]
        x0, x1 = _reach(x, x, half, columns)
        y0, y1 = _reach(y, y, half, rows)
        seen = Image.fromarray(self.rgb[y0:y1, x0:x1])  # nothing from beyond the edge
        picture = ImageOps.fit(seen, (side, side), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        return file.getvalue()


def _reach(low: float, high: float, margin: float, most: int) -> tuple[int, int]:
    """From and to, inside of 0 to ``most`` and never empty."""
    begin = min(max(0, int(low - margin)), most - 1)
    return begin, max(begin + 1, min(most, int(high + margin) + 1))


def _quality(rgb: NDArray[np.uint8], face: Detection, side: float) -> float:
    clear = face.score * min(1.0, side / ENOUGH) * _frontal(face) * _sharp(rgb, face)
    return clear * face.visible**2  # a face cut by the edge comes after every whole one


def _frontal(face: Detection) -> float:
    """1 for a face that looks at us, towards 0.2 as it turns away: where the nose is."""
    (ex0, ey0), (ex1, ey1), (nx, ny), *_ = face.landmarks
    across, down = ex1 - ex0, ey1 - ey0
    apart = across * across + down * down
    if apart < 1:
        return 0.2
    along = ((nx - ex0) * across + (ny - ey0) * down) / apart
    return max(0.2, 1 - 2 * abs(along - 0.5))


def _sharp(rgb: NDArray[np.uint8], face: Detection) -> float:
    """1 in focus, towards 0.2 as it blurs."""
    left, top, right, bottom = (max(0, int(edge)) for edge in face.box)
    gray = rgb[top:bottom, left:right, 1].astype(np.int16)
    if min(gray.shape) < 2:
        return 0.2
    step = float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean()) / 2
    return min(1.0, max(0.2, step / SHARP))
