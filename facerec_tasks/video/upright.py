"""One decoded frame as a person sees it: square pixels, turned as the camera was held, shrunk."""

import struct
from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from facerec_tasks.video.sampling import THUMBNAIL

WIDEST_PIXEL = 4.0
"""Ratio of a pixel's sides above which the header is not believed."""


def thumbnail(frame: VideoFrame) -> NDArray[np.uint8]:
    width, height = THUMBNAIL
    small = frame.reformat(width, height, "rgb24", interpolation="FAST_BILINEAR", threads=1)
    return _pixels_of(small)


def upright(frame: VideoFrame, stream: VideoStream, longest_side: int | None) -> NDArray[np.uint8]:
    """As a person sees it: square pixels, turned as the camera was held, shrunk."""
    width, height = display_size(frame, stream)
    share = min(1.0, longest_side / max(width, height)) if longest_side else 1.0
    columns, rows = (max(1, round(side * share)) for side in (width, height))
    rgb = frame.reformat(columns, rows, "rgb24", interpolation="AREA", threads=1)
    return np.ascontiguousarray(turned(_pixels_of(rgb), display_matrix(frame)))


def display_size(frame: VideoFrame, stream: VideoStream) -> tuple[float, float]:
    """Width and height in square pixels, before it is turned."""
    ratio = float(stream.sample_aspect_ratio or 1)
    if not 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL:
        ratio = 1.0
    return (frame.width * ratio, frame.height) if ratio > 1 else (frame.width, frame.height / ratio)


def _pixels_of(frame: VideoFrame) -> NDArray[np.uint8]:
    """height x width x 3 of a frame in ``rgb24``."""
    return cast("NDArray[np.uint8]", frame.to_ndarray())


Matrix = tuple[int, int, int, int]
"""a, b, c, d of ISO/IEC 14496-12, 6.2.2: x' = ax + cy, y' = bx + dy, y downwards."""
UPRIGHT: Matrix = (1, 0, 0, 1)


def display_matrix(frame: VideoFrame) -> Matrix:
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(cast(Any, data)))
    return a, b, c, d


def is_sideways(matrix: Matrix) -> bool:
    return abs(matrix[1]) > abs(matrix[0])


def turned(rgb: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.uint8]:
    """``rgb`` as it is to be shown: turned by quarters, perhaps mirrored."""
    across, b, c, down = matrix
    if is_sideways(matrix):
        rgb, across, down = rgb.transpose(1, 0, 2), c, b
    if across < 0:
        rgb = rgb[:, ::-1]
    return rgb[::-1] if down < 0 else rgb
