"""Which boxes survive suppression, against the rule written naively."""

import numpy as np
import pytest
from numpy.typing import NDArray

from facerec_tasks.recognition.detection import boxes

Array = NDArray[np.float32]


def naive(found: Array, scores: Array, limit: float) -> list[int]:
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if all(overlap(found[index], found[better]) <= limit for better in kept):
            kept.append(index)
    return kept


def overlap(one: Array, other: Array) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    whole = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return float(common / (whole - common))


@pytest.mark.parametrize("count", [0, 1, 2, 50, 700])
def test_suppress_keeps_what_no_better_box_covers(count: int) -> None:
    random = np.random.default_rng(count)
    corner = random.uniform(0, 300, (count, 2))
    found = np.concatenate([corner, corner + random.uniform(20, 60, (count, 2))], 1)
    found = found.astype(np.float32)
    scores = random.integers(0, 20, count).astype(np.float32)  # many ties
    assert boxes.non_maximum_suppression(found, scores, 0.3).tolist() == naive(found, scores, 0.3)


def test_ties_go_to_the_first_and_in_the_last_stage_to_the_last() -> None:
    same = np.array([[0, 0, 10, 10]] * 3, np.float32)
    scores = np.ones(3, np.float32)
    assert boxes.non_maximum_suppression(same, scores, 0.5).tolist() == [0]
    assert boxes.non_maximum_suppression_min(same, scores, 0.5).tolist() == [2]


def test_the_last_stage_drops_a_box_inside_another() -> None:
    nested = np.array([[0, 0, 100, 100], [40, 40, 60, 60]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert boxes.non_maximum_suppression(nested, scores, 0.7).tolist() == [0, 1]
    assert boxes.non_maximum_suppression_min(nested, scores, 0.7).tolist() == [0]


def test_squared_keeps_the_center() -> None:
    assert boxes.to_square(np.array([[0, 0, 10, 20]], np.float32)).tolist() == [[-5, 0, 15, 20]]
