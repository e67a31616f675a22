"""Arithmetic on boxes: float32 arrays n x 4 of left, top, right, bottom.

The same operations in the same order as facenet-pytorch 2.6, ``models/utils/detect_face.py``.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def suppress(boxes: Array, scores: Array, limit: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices kept, best first, ties in the order given.

    A box goes when its intersection with a better one exceeds ``limit`` of their union.
    """
    return _suppress(boxes, scores, limit, np.float32(0), of_smaller=False)


def suppress_within(boxes: Array, scores: Array, limit: float) -> NDArray[np.intp]:
    """The last stage's rule: intersection over the smaller box, edges counted as pixels."""
    return _suppress(boxes, scores, limit, np.float32(1), of_smaller=True)


def _suppress(
    boxes: Array, scores: Array, limit: float, edge: np.float32, *, of_smaller: bool
) -> NDArray[np.intp]:
    if not len(boxes):
        return np.empty(0, np.intp)
    order = np.argsort(-scores, kind="stable")
    left, top, right, bottom = np.ascontiguousarray(boxes[order].T)
    areas = (right - left + edge) * (bottom - top + edge)
    alive = np.arange(len(order))
    kept = []
    while alive.size:
        best, rest = alive[0], alive[1:]
        kept.append(best)
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + edge
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + edge
        common = np.maximum(width, 0) * np.maximum(height, 0)
        if of_smaller:
            whole = np.minimum(areas[best], areas[rest])
        else:
            whole = areas[best] + areas[rest] - common
        alive = rest[~(common > limit * whole)]
    return order[kept]


def squared(boxes: Array) -> Array:
    """Each box grown around its centre to a square on its longer side."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    left = boxes[:, 0] + width * np.float32(0.5) - side * np.float32(0.5)
    top = boxes[:, 1] + height * np.float32(0.5) - side * np.float32(0.5)
    return np.stack([left, top, left + side, top + side], axis=1)


def corrected(boxes: Array, corrections: Array, *, edge: int = 1) -> Array:
    """Boxes moved by a network's corrections, which are fractions of width and height."""
    width = boxes[:, 2] - boxes[:, 0] + np.float32(edge)
    height = boxes[:, 3] - boxes[:, 1] + np.float32(edge)
    return boxes + corrections * np.stack([width, height, width, height], axis=1)
