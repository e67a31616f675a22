"""Shrunken copies of a picture and of its parts, by the mean of every pixel that falls into one.

torch's "area" interpolation is adaptive average pooling: output pixel i of n covers input pixels
floor(i N / n) to ceil((i + 1) N / n). One exact integer table of sums over the picture gives every
copy of every size by four look-ups a pixel.

The three colors share one 64-bit number, 21 bits each. Sums over the whole picture overflow, which
does no harm: sums over a window are differences of table entries modulo 2^64, and those of at most
:data:`MOST_PIXELS` pixels fit in their bits.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Indices = NDArray[np.int64]
Sums = NDArray[np.uint64]

BITS = np.uint64(21)
MASK = np.uint64(2**21 - 1)
MOST_PIXELS = 2**21 // 255
MIDDLE = np.float32(127.5)
SCALE = np.float32(0.0078125)


class SummedArea:
    """The table of one picture.

    Copies come as MTCNN wants them: color planes of ``(mean - 127.5) / 128``.
    """

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        """``rgb``: height x width x 3, at most 8,000 wide."""
        self.height, self.width = rgb.shape[:2]
        packed = rgb[..., 2].astype(np.uint64)
        for color in (1, 0):
            packed <<= BITS
            packed += rgb[..., color]
        self._table = np.zeros((self.height + 1, self.width + 1), np.uint64)
        inner = self._table[1:, 1:]
        np.cumsum(packed, axis=0, out=inner)
        np.cumsum(inner, axis=1, out=inner)

    def level(self, height: int, width: int) -> Array:
        """The whole picture at another size: 1 x 3 x height x width."""
        top, bottom = _edges(self.height, height)
        left, right = _edges(self.width, width)

        def sums(top: Indices, bottom: Indices) -> Sums:
            rows = self._table.take(bottom, 0) - self._table.take(top, 0)
            found: Sums = rows.take(right, 1) - rows.take(left, 1)
            return found

        means = _summed(sums, top, bottom, int((right - left).max()))
        means /= np.multiply.outer(bottom - top, right - left).astype(np.float32)
        return _normal(means)[None]

    def crops(self, corners: Indices, size: int) -> Array:
        """Parts of the picture, each shrunk or grown to a square: n x 3 x size x size.

        ``corners``: n x 4 of left, top, right, bottom in pixels, right and bottom exclusive, all
        inside the picture and none empty.
        """
        x, y = corners[:, :1], corners[:, 1:2]
        left, right = _edges(corners[:, 2:3] - x, size)
        top, bottom = _edges(corners[:, 3:] - y, size)
        pixels = (bottom - top)[:, :, None] * (right - left)[:, None, :]
        table, stride = self._table.ravel(), self._table.shape[1]
        columns_left, columns_right = (x + left)[:, None, :], (x + right)[:, None, :]

        def sums(top: Indices, bottom: Indices) -> Sums:
            above, below = (top * stride)[:, :, None], (bottom * stride)[:, :, None]
            found: Sums = table.take(below + columns_right) - table.take(above + columns_right)
            found -= table.take(below + columns_left)
            found += table.take(above + columns_left)
            return found

        means = _summed(sums, y + top, y + bottom, int((right - left).max()))
        means /= pixels.astype(np.float32)
        return np.ascontiguousarray(_normal(means).transpose(1, 0, 2, 3))


def _edges(length: int | Indices, parts: int) -> tuple[Indices, Indices]:
    """Where each of ``parts`` windows over ``length`` pixels begins and ends (exclusive)."""
    index = np.arange(parts, dtype=np.int64)
    return index * length // parts, -(-(index + 1) * length // parts)


def _summed(
    sums: Callable[[Indices, Indices], Sums],
    top: Indices,
    bottom: Indices,
    widest: int,
) -> Array:
    """Color planes of the windows' sums; windows too large for the bits are cut into slices."""
    highest = int((bottom - top).max())
    slices = -(-highest // max(1, MOST_PIXELS // widest))
    if slices == 1:
        return _unpacked(sums(top, bottom))
    cuts = [top + (bottom - top) * index // slices for index in range(slices + 1)]
    parts = [_unpacked(sums(a, b)) for a, b in pairwise(cuts)]
    total: Array = np.sum(parts, axis=0, dtype=np.float32)
    return total


def _unpacked(sums: Sums) -> Array:
    planes = np.empty((3, *sums.shape), np.float32)
    planes[0] = sums & MASK
    planes[1] = (sums >> BITS) & MASK
    planes[2] = sums >> (BITS + BITS)
    return planes


def _normal(means: Array) -> Array:
    means -= MIDDLE
    means *= SCALE
    return means
