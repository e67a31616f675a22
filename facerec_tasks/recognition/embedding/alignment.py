"""Turns a face upright and cuts it out: eyes, nose and mouth always lie in the same place."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facerec_tasks.recognition.embedding.templates import DLIB_TEMPLATE

CHIP = 150
"""Side in pixels of what ``resnet128`` looks at."""

TEMPLATE = np.array(DLIB_TEMPLATE)


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """2 x 3 matrix of the rotation, scale and shift that best takes ``source`` to ``target``.

    Both n x 2; least squares, no reflection (Umeyama 1991, two dimensions in closed form).
    """
    middle_s, middle_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - middle_s, target - middle_t
    spread = float((s**2).sum())
    cosine = float((s * t).sum()) / spread
    sine = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, middle_t - turn @ middle_s])


def chip(
    picture: Image.Image,
    landmarks: NDArray[np.float64],
    template: NDArray[np.float64] = TEMPLATE,
    side: int = CHIP,
) -> NDArray[np.uint8]:
    """The aligned face, side x side x 3. ``landmarks``: 5 x 2 in pixels of ``picture`` (RGB).

    ``template``: where they come to lie, 5 x 2 in pixels of the chip.
    """
    matrix = similarity(template, landmarks)  # from the chip to the picture
    factor = int(np.hypot(matrix[0, 0], matrix[1, 0]))
    if factor >= 2:  # two-tap interpolation alone would skip pixels
        picture, matrix = _reduced(picture, matrix, factor, side)
    # PIL samples at pixel centers: half a pixel on both sides of the map.
    turn, shift = matrix[:, :2], matrix[:, 2]
    shift = shift + 0.5 - turn.sum(axis=1) * 0.5
    coefficients = (*turn[0], shift[0], *turn[1], shift[1])
    upright = picture.transform(
        (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(upright)


def _reduced(
    picture: Image.Image, matrix: NDArray[np.float64], factor: int, side: int
) -> tuple[Image.Image, NDArray[np.float64]]:
    """The part of the picture the chip needs, ``factor`` times smaller, and the matrix for it."""
    corners = (
        np.array([(0, 0), (side, 0), (0, side), (side, side)]) @ matrix[:, :2].T + matrix[:, 2]
    )
    low = np.clip(np.floor(corners.min(axis=0)) - factor, 0, None).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + factor, picture.size).astype(int)
    if (high - low < factor).any():
        return picture, matrix
    small = picture.reduce(factor, box=(int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    moved = matrix.copy()
    moved[:, 2] -= low
    return small, moved / factor
