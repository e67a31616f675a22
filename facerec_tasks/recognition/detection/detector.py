"""Finds faces: the MTCNN cascade (Zhang et al. 2016), as facenet-pytorch 2.6 computes it.

Three networks, each looking closer at what the one before let through: P-Net slides over a pyramid
of shrunken pictures, R-Net and O-Net judge single crops. Boxes agree with the original within 0.01
px (``benchmarks/parity.py``). What is ours are the caps: no picture can make the cascade judge more
than :class:`DetectorLimits` allows, whatever it shows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition import session
from facerec_tasks.recognition.detection.boxes import (
    apply_regression,
    non_maximum_suppression,
    non_maximum_suppression_min,
    to_square,
    visible_share,
)
from facerec_tasks.recognition.detection.summed_area import SummedArea

Array = NDArray[np.float32]
Points = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]

SMALLEST_FACE = 20
"""Side in pixels of the smallest face looked for."""
PYRAMID_FACTOR = 0.709
CELL, STRIDE = 12, 2
"""P-Net judges squares of 12 px, every 2 px."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Face probability a candidate needs to pass P-Net, R-Net and O-Net."""
MIN_SCORE = THRESHOLDS[2]
"""Score of the least sure face that counts, where nothing else is asked for."""
_PASS = [np.float32(np.log(p / (1 - p))) for p in THRESHOLDS]
"""The same as logits, which is what the networks give."""
_CELL_EDGES = np.array([1, 1, CELL, CELL], np.float32)
STRIP_PIXELS = 600_000
"""Of a level P-Net judges at once: bounds memory."""
MIN_VISIBLE = 0.55
"""Share of a face inside the picture below which it is not named. Measured on faces of 60 people,
each cut at one side: of 100 pairs of different people 24 are within 0.52 of each other at 0.4 to
0.5 visible, 10 at 0.5 to 0.6, 1 at 0.6 to 0.7, and 0.1 from 0.8 on, as of whole faces. The right
person is within 0.52 for 36, 61, 88 and 100 of 100."""
BATCH = 32
"""Crops a network judges at once: bounds memory."""


@dataclass(frozen=True)
class DetectorLimits:
    """How many candidates each stage may pass on, best first. Real photos stay far below."""

    per_level: int = 4096
    first: int = 1500
    second: int = 300
    faces: int = 64
    """Faces that are answered; there may be more."""


SMALL = DetectorLimits(per_level=1024, first=500)
PROMINENT = DetectorLimits(per_level=500, first=200, second=50)


@dataclass(frozen=True)
class Detection:
    """One face, in pixels of the picture it was found in."""

    box: Box
    """Left, top, right, bottom; may reach over the picture's edge."""
    score: float
    """Probability that this is a face, 0.7 to 1."""
    landmarks: Points
    """Left eye, right eye (as the viewer sees them), nose, left and right corner of the mouth."""
    visible: float = 1.0
    """How much of the face is inside the picture, 0 to 1, see :func:`.boxes.visible_share`."""

    @property
    def side(self) -> float:
        """Pixels of the box's longer side."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    @property
    def visible_area(self) -> float:
        """Square pixels of the box inside the picture: what faces are ranked by."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top) * self.visible

    def rank(self) -> tuple[bool, float]:
        """Sorts faces: the larger the visible part the higher, all cut-off ones lowest."""
        return self.visible >= MIN_VISIBLE, self.visible_area

    def seen_in(self, width: float, height: float) -> Self:
        """The same face with :attr:`visible` for a picture of ``width`` x ``height`` pixels."""
        return replace(self, visible=visible_share(self.box, width, height))

    def transformed(
        self, scale: tuple[float, float] = (1.0, 1.0), offset: tuple[float, float] = (0.0, 0.0)
    ) -> Self:
        """The same face in a picture whose pixels are ``x * scale + offset`` of this one's."""
        (sx, sy), (dx, dy) = scale, offset
        left, top, right, bottom = self.box
        box = (left * sx + dx, top * sy + dy, right * sx + dx, bottom * sy + dy)
        points = tuple((x * sx + dx, y * sy + dy) for x, y in self.landmarks)
        return type(self)(box, self.score, points, self.visible)


@dataclass(frozen=True, eq=False)
class _Candidates:
    boxes: Array
    scores: Array

    def best(self, keep: NDArray[Any]) -> "_Candidates":
        return _Candidates(self.boxes[keep], self.scores[keep])


class Detector:
    """The cascade. Loaded once, before workers fork; holds no state between pictures."""

    def __init__(
        self,
        models_dir: Path,
        limits: DetectorLimits | None = None,
        min_score: float = MIN_SCORE,
    ) -> None:
        """``min_score``: a face needs it, 0.7 to 1. Raises :class:`session.ModelMissing`."""
        self._pnet, self._rnet, self._onet = (
            session.load(models_dir, name) for name in ("pnet", "rnet", "onet")
        )
        self.limits = limits or DetectorLimits()
        self._min_score = min_score

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Faces of ``rgb`` (height x width x 3), at most ``limits.faces`` of them.

        The largest visible one first, those cut off by the edge last.
        """
        return self.detect_all(rgb)[: self.limits.faces]

    def detect_all(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """As :meth:`detect`, with those beyond ``limits.faces``."""
        return self._detect(rgb, math.inf, self.limits)

    def detect_small(self, rgb: NDArray[np.uint8], largest: float) -> list[Detection]:
        """Faces of about 20 to ``largest`` pixels: the first levels of the pyramid only."""
        return self._detect(rgb, largest, SMALL)

    def detect_prominent(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """The surest faces, at little cost."""
        return self._detect(rgb, math.inf, PROMINENT)

    def _detect(
        self, rgb: NDArray[np.uint8], largest: float, limits: DetectorLimits
    ) -> list[Detection]:
        picture = SummedArea(rgb)
        candidates = self._propose(picture, largest, limits)
        candidates = self._refine(picture, candidates, limits)
        return self._decide(picture, candidates)

    def _propose(self, picture: SummedArea, largest: float, limits: DetectorLimits) -> _Candidates:
        """P-Net over the pyramid."""
        scales = (scale for scale in _scales(picture) if CELL / scale <= largest)
        found = [level for scale in scales if (level := self._propose_at(picture, scale, limits))]
        if not found:
            return _Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32))
        boxes, scores, corrections = (np.concatenate(part) for part in zip(*found, strict=True))
        keep = non_maximum_suppression(boxes, scores, 0.7)[: limits.first]
        boxes = apply_regression(boxes[keep], corrections[keep], edge=0)
        return _Candidates(to_square(boxes), scores[keep])

    def _propose_at(
        self, picture: SummedArea, scale: float, limits: DetectorLimits
    ) -> tuple[Array, Array, Array] | None:
        """Boxes, scores and corrections of one level of the pyramid, if it has candidates."""
        size = int(picture.height * scale + 1), int(picture.width * scale + 1)
        maps = self._maps(picture.level(*size))
        y, x = (maps[0] >= _PASS[0]).nonzero()
        if not len(y):
            return None
        if len(y) > limits.per_level:
            best = np.argsort(-maps[0, y, x], kind="stable")[: limits.per_level]
            y, x = y[np.sort(best)], x[np.sort(best)]
        found = maps[:, y, x]
        boxes = np.array([x, y, x, y], np.float32).T * STRIDE + _CELL_EDGES
        boxes = np.floor(boxes / np.float32(scale))
        scores = _probability(found[0])
        keep = non_maximum_suppression(boxes, scores, 0.5)
        return boxes[keep], scores[keep], found[1:, keep].T

    def _maps(self, level: Array) -> Array:
        """P-Net's output for one level: 5 x rows x columns. A large level goes in strips."""
        height, width = level.shape[2:]
        if height * width <= STRIP_PIXELS:
            return cast(Array, self._pnet.run(None, {"x": level})[0][0])
        rows = max(1, STRIP_PIXELS // width // STRIDE)
        starts = range(0, (height - CELL) // STRIDE + 1, rows)
        strips = [
            self._pnet.run(None, {"x": np.ascontiguousarray(level[:, :, top : top + last])})[0][0]
            for start in starts
            for top, last in [(start * STRIDE, rows * STRIDE + CELL - STRIDE)]
        ]
        return np.concatenate(strips, axis=1)

    def _refine(
        self, picture: SummedArea, candidates: _Candidates, limits: DetectorLimits
    ) -> _Candidates:
        """R-Net."""
        candidates, output = _judge(self._rnet, picture, candidates, 24, _PASS[1])
        keep = non_maximum_suppression(candidates.boxes, candidates.scores, 0.7)[: limits.second]
        candidates = candidates.best(keep)
        return _Candidates(
            to_square(apply_regression(candidates.boxes, output[keep, 1:])), candidates.scores
        )

    def _decide(self, picture: SummedArea, candidates: _Candidates) -> list[Detection]:
        """O-Net, and the landmarks."""
        candidates, output = _judge(self._onet, picture, candidates, 48, _PASS[2])
        corner = candidates.boxes[:, None, :2]
        size = candidates.boxes[:, None, 2:] - corner + 1
        points = output[:, 5:].reshape(-1, 2, 5).transpose(0, 2, 1) * size + corner - 1
        boxes = apply_regression(candidates.boxes, output[:, 1:5])
        keep = non_maximum_suppression_min(boxes, candidates.scores, 0.7)
        keep = keep[candidates.scores[keep] >= self._min_score]
        faces = [
            Detection(tuple(box), score, tuple((x, y) for x, y in marks)).seen_in(
                picture.width, picture.height
            )
            for box, score, marks in zip(
                boxes[keep].tolist(),
                candidates.scores[keep].tolist(),
                points[keep].tolist(),
                strict=True,
            )
        ]
        return sorted(faces, key=Detection.rank, reverse=True)


def _scales(picture: SummedArea) -> Iterator[float]:
    scale = CELL / SMALLEST_FACE
    side = min(picture.height, picture.width) * scale
    while side >= CELL:
        yield scale
        scale *= PYRAMID_FACTOR
        side *= PYRAMID_FACTOR


def _judge(
    network: Any, picture: SummedArea, candidates: _Candidates, size: int, threshold: np.float32
) -> tuple[_Candidates, Array]:
    """Runs ``network`` on crops of the candidates; those it passes, with its outputs for them."""
    corners = _inside(candidates.boxes, picture)
    visible = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    candidates, corners = candidates.best(visible), corners[visible]
    outputs = [
        network.run(None, {"x": picture.crops(corners[start : start + BATCH], size)})[0]
        for start in range(0, len(corners), BATCH)
    ]
    if not outputs:
        return candidates, np.empty((0, network.get_outputs()[0].shape[1]), np.float32)
    output = np.concatenate(outputs)
    passed = output[:, 0] > threshold
    scores = _probability(output[passed, 0])
    return _Candidates(candidates.boxes[passed], scores), output[passed]


def _inside(boxes: Array, picture: SummedArea) -> NDArray[np.int64]:
    """Pixel corners of the boxes cut to the picture; right and bottom exclusive."""
    corners = boxes.astype(np.int64)  # toward zero, as torch's ``.int()``
    corners[:, :2] = np.maximum(corners[:, :2], 1) - 1
    corners[:, 2:] = np.minimum(corners[:, 2:], [picture.width, picture.height])
    return corners


def _probability(logits: Array) -> Array:
    """Sigmoid, the softmax of two classes. Far negative logits never come here."""
    return (1 / (1 + np.exp(-logits))).astype(np.float32)
