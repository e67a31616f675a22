"""Faces are turned upright, and the points that say where they are end where they should."""

import numpy as np
from PIL import Image

from facerec_tasks.recognition.embedding import alignment


def test_similarity_recovers_a_known_turn() -> None:
    angle, scale, shift = 0.3, 2.5, np.array([7.0, -3.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = alignment.TEMPLATE @ turn.T + shift
    matrix = alignment.similarity(alignment.TEMPLATE, target)
    np.testing.assert_allclose(matrix, np.column_stack([turn, shift]), atol=1e-9)


def test_a_face_of_any_size_and_turn_gives_the_same_chip() -> None:
    for scale in (0.5, 1.0, 3.7, 9.0):
        for angle in (0.0, 0.4, -2.0):
            turn = scale * np.array(
                [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            )
            points = (alignment.TEMPLATE - 75) @ turn.T + 900
            chip = alignment.chip(_blobs(points, max(2.0, 6 * scale)), points)
            for x, y in alignment.TEMPLATE:
                assert chip[round(y), round(x), 0] > 200, (scale, angle)
            assert chip[10, 75, 0] < 50


def _blobs(points: np.ndarray, size: float) -> Image.Image:
    y, x = np.mgrid[0:1800, 0:1800]
    bright = np.zeros((1800, 1800), bool)
    for px, py in points:
        bright |= (x - px) ** 2 + (y - py) ** 2 < size**2
    return Image.fromarray((bright * 255).astype(np.uint8)).convert("RGB")


def test_a_face_at_the_edge_is_filled_with_black() -> None:
    picture = Image.new("RGB", (100, 100), (255, 255, 255))
    chip = alignment.chip(picture, alignment.TEMPLATE - 60)
    assert chip.shape == (150, 150, 3)
    assert chip[149, 149].tolist() == [255, 255, 255]
    assert chip[0, 0].tolist() == [0, 0, 0]


def test_an_aligned_face_stays_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)
    chip = alignment.chip(Image.fromarray(noise), alignment.TEMPLATE)
    np.testing.assert_array_equal(chip[1:-1, 1:-1], noise[1:-1, 1:-1])


def test_a_face_on_its_head_is_turned_exactly() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)
    chip = alignment.chip(Image.fromarray(noise), 149 - alignment.TEMPLATE)
    turned = noise[::-1, ::-1]
    np.testing.assert_allclose(chip[1:-1, 1:-1].astype(int), turned[1:-1, 1:-1], atol=1)


def test_a_large_face_is_averaged_not_sampled() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    chip = alignment.chip(Image.fromarray(noise), alignment.TEMPLATE * 9.5)
    assert chip[20:-20, 20:-20].std() < 15
