"""Shrunken copies of a picture and of its parts, by the mean of every pixel that falls into one.

torch's "area" interpolation is adaptive average pooling: output pixel i of n covers input pixels
floor(i N / n) to ceil((i + 1) N / n). One exact integer table of sums over the picture gives every
copy of every size by four look-ups a pixel.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MIDDLE = np.float32(127.5)
SCALE = np.float32(0.0078125)


class SummedArea:
    """The table of one picture.

    Copies come as MTCNN wants them: colour planes of ``(mean - 127.5) / 128``.
    """

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        """``rgb``: height x width x 3. At most 16 million pixels, so that sums fit in 32 bits."""
        self.height, self.width = rgb.shape[:2]
        table = np.zeros((3, self.height + 1, self.width + 1), np.uint32)
        inner = table[:, 1:, 1:]
        np.cumsum(rgb.transpose(2, 0, 1), axis=2, dtype=np.uint32, out=inner)
        np.cumsum(inner, axis=1, out=inner)
        self._table = table

    def level(self, height: int, width: int) -> Array:
        """The whole picture at another size: 3 x height x width."""
        top, bottom = _edges(self.height, height)
        left, right = _edges(self.width, width)
        rows = self._table[:, bottom] - self._table[:, top]
        sums = rows[:, :, right] - rows[:, :, left]
        pixels = np.multiply.outer(bottom - top, right - left).astype(np.float32)
        return _normal(sums, pixels)

    def crops(self, corners: NDArray[np.int64], size: int) -> Array:
        """Parts of the picture, each shrunk or grown to a square: n x 3 x size x size.

        ``corners``: n x 4 of left, top, right, bottom in pixels, right and bottom exclusive, all
        inside the picture and none empty.
        """
        x, y = corners[:, :1], corners[:, 1:2]
        left, right = _edges(corners[:, 2:3] - x, size)
        top, bottom = _edges(corners[:, 3:] - y, size)
        left, right = (x + left)[:, None, :], (x + right)[:, None, :]
        top, bottom = (y + top)[:, :, None], (y + bottom)[:, :, None]
        table = self._table
        sums = table[:, bottom, right] - table[:, top, right]
        sums -= table[:, bottom, left]
        sums += table[:, top, left]
        pixels = ((bottom - top) * (right - left)).astype(np.float32)
        return np.ascontiguousarray(_normal(sums, pixels).transpose(1, 0, 2, 3))


def _edges(
    length: int | NDArray[np.int64], parts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each of ``parts`` windows over ``length`` pixels begins and ends (exclusive)."""
    index = np.arange(parts, dtype=np.int64)
    return index * length // parts, -(-(index + 1) * length // parts)


def _normal(sums: NDArray[np.uint32], pixels: Array) -> Array:
    means = sums.astype(np.float32)
    means /= pixels
    means -= MIDDLE
    means *= SCALE
    return means
