"""Shrunken pictures are exactly the means of the pixels that fall into each of theirs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from facerec_tasks.recognition.detection.summed_area import SummedArea


def mean_of_pixels(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float64]:
    """Adaptive average pooling as torch documents it: planes, normalized."""
    (height, width), (rows, columns) = rgb.shape[:2], size
    pooled = np.empty((3, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = rgb[
                i * height // rows : -(-(i + 1) * height // rows),
                j * width // columns : -(-(j + 1) * width // columns),
            ]
            pooled[:, i, j] = window.reshape(-1, 3).mean(axis=0)
    return (pooled - 127.5) / 128


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(13, 7), (40, 60), (1, 1), (39, 59)])
def test_levels(size: tuple[int, int]) -> None:
    rgb = noise(40, 60)
    np.testing.assert_allclose(
        SummedArea(rgb).level(*size)[0], mean_of_pixels(rgb, size), atol=1e-6
    )


def test_windows_whose_sums_do_not_fit_their_bits() -> None:
    rgb = np.full((1100, 1300, 3), 255, np.uint8)
    rgb[:, :650, 1] = 0
    table = SummedArea(rgb)
    level = table.level(4, 4)[0]
    np.testing.assert_allclose(level[0], 127.5 / 128, atol=1e-6)
    np.testing.assert_allclose(level[1], [[-127.5 / 128] * 2 + [127.5 / 128] * 2] * 4, atol=1e-6)
    crop = table.crops(np.array([[0, 0, 1300, 1100]]), 4)[0]
    np.testing.assert_allclose(crop, level, atol=1e-6)


def test_crops_shrink_and_grow() -> None:
    rgb = noise(50, 70)
    corners = np.array([[0, 0, 70, 50], [10, 20, 15, 23], [69, 49, 70, 50]])
    crops = SummedArea(rgb).crops(corners, 24)
    for crop, (left, top, right, bottom) in zip(crops, corners, strict=True):
        expected = mean_of_pixels(rgb[top:bottom, left:right], (24, 24))
        np.testing.assert_allclose(crop, expected, atol=1e-6)
