"""Arithmetic on boxes: float32 arrays n x 4 of left, top, right, bottom.

The same operations in the same order as facenet-pytorch 2.6, ``models/utils/detect_face.py``.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def non_maximum_suppression(boxes: Array, scores: Array, limit: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices kept, best first, ties in the order given.

    A box goes when its intersection with a better one exceeds ``limit`` of their union.
    """
    order = np.argsort(-scores, kind="stable")
    return order[_survivors(boxes[order], limit, np.float32(0), of_smaller=False)]


def non_maximum_suppression_min(boxes: Array, scores: Array, limit: float) -> NDArray[np.intp]:
    """The last stage's rule: intersection over the smaller box, edges counted as pixels.

    Many scores are exactly 1 there, and of those the original prefers the last.
    """
    order = np.argsort(scores)[::-1]
    return order[_survivors(boxes[order], limit, np.float32(1), of_smaller=True)]


CHUNK = 256
"""Boxes compared with all others at once: bounds memory."""


def _survivors(
    boxes: Array, limit: float, edge: np.float32, *, of_smaller: bool
) -> NDArray[np.intp]:
    """Which of ``boxes``, best first, no better survivor covers."""
    if len(boxes) < 2:
        return np.arange(len(boxes))
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    areas = (right - left + edge) * (bottom - top + edge)
    alive = np.ones(len(boxes), bool)
    kept = []
    for start in range(0, len(boxes), CHUNK):
        chunk = start + np.flatnonzero(alive[start : start + CHUNK])
        rest, some = slice(start, None), chunk[:, None]
        width = np.minimum(right[some], right[rest]) - np.maximum(left[some], left[rest]) + edge
        height = np.minimum(bottom[some], bottom[rest]) - np.maximum(top[some], top[rest]) + edge
        common = np.maximum(width, 0) * np.maximum(height, 0)
        if of_smaller:
            whole = np.minimum(areas[some], areas[rest])
        else:
            whole = areas[some] + areas[rest] - common
        spared = ~(common > limit * whole)
        for index, spares in zip(chunk.tolist(), spared, strict=True):
            if alive[index]:
                kept.append(index)
                alive[rest] &= spares
    return np.array(kept, np.intp)


def to_square(boxes: Array) -> Array:
    """Each box grown around its center to a square on its longer side."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    left = boxes[:, 0] + width * np.float32(0.5) - side * np.float32(0.5)
    top = boxes[:, 1] + height * np.float32(0.5) - side * np.float32(0.5)
    return np.stack([left, top, left + side, top + side], axis=1)


def apply_regression(boxes: Array, corrections: Array, *, edge: int = 1) -> Array:
    """Boxes moved by a network's corrections, which are fractions of width and height."""
    width = boxes[:, 2] - boxes[:, 0] + np.float32(edge)
    height = boxes[:, 3] - boxes[:, 1] + np.float32(edge)
    return boxes + corrections * np.stack([width, height, width, height], axis=1)


def visible_share(box: tuple[float, float, float, float], width: float, height: float) -> float:
    """How much of a face is inside a picture of ``width`` x ``height`` pixels, 0 to 1.

    Across and down the side that reaches farther over the edge counts, as a share of the box: a
    face cut in half at one side has 0.5. A face that fills the picture reaches over all edges a
    little and keeps its features, so it has more than its share of the area.
    """
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        return 0.0
    across = max(-left, right - width, 0.0) / (right - left)
    down = max(-top, bottom - height, 0.0) / (bottom - top)
    return max(0.0, 1 - across) * max(0.0, 1 - down)
