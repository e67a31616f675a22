"""LFW's protocol of verification, on distances whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.verification import (
    Pair,
    best_threshold,
    make_pairs,
    read_pairs,
    verify,
)

PEOPLE = {f"p{n}": [Path(f"p{n}/{photo}.jpg") for photo in range(3)] for n in range(40)}


@pytest.mark.parametrize(
    ("distances", "same", "lowest", "highest"),
    [
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], 0.2, 0.8),
        ([0.1, 0.2, 0.3, 0.9], [1, 0, 1, 0], 0.1, 0.9),  # one is wrong wherever it lies
        ([0.1, math.inf, 0.9], [1, 1, 0], 0.1, 0.9),
        ([0.5, 0.6], [0, 0], 0.0, 0.5),
        ([0.5, 0.6], [1, 1], 0.6, 0.7),
        ([math.inf], [1], 0.0, 0.0),
    ],
)
def test_finds_the_threshold_that_is_right_most_often(
    distances: list[float], same: list[int], lowest: float, highest: float
) -> None:
    threshold = best_threshold(np.array(distances), np.array(same, bool))
    assert lowest <= threshold <= highest


def test_made_pairs_are_balanced_and_nobody_is_in_two_folds() -> None:
    folds = make_pairs(PEOPLE)
    seen: set[str] = set()
    for fold in folds:
        names = {photo.parent.name for pair in fold for photo in (pair.one, pair.other)}
        assert not names & seen
        seen |= names
        assert sum(pair.same for pair in fold) * 2 == len(fold)
        assert all((pair.one.parent == pair.other.parent) is pair.same for pair in fold)
    assert len(folds) == 10


def test_reads_the_pairs_of_lfw(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("2\t1\nAda\t1\t2\nAda\t1\tBob\t3\nEve\t4\t5\nBob\t1\tEve\t1\n")
    folds = read_pairs(file, Path("lfw"))
    assert folds == [
        [
            Pair(Path("lfw/Ada/Ada_0001.jpg"), Path("lfw/Ada/Ada_0002.jpg"), same=True),
            Pair(Path("lfw/Ada/Ada_0001.jpg"), Path("lfw/Bob/Bob_0003.jpg"), same=False),
        ],
        [
            Pair(Path("lfw/Eve/Eve_0004.jpg"), Path("lfw/Eve/Eve_0005.jpg"), same=True),
            Pair(Path("lfw/Bob/Bob_0001.jpg"), Path("lfw/Eve/Eve_0001.jpg"), same=False),
        ],
    ]


@pytest.mark.parametrize("text", ["10\t300\nAda\t1\t2\n", "1\t1\nAda\t1\nAda\t1\t2\n"])
def test_refuses_other_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(ValueError, match="pair"):
        read_pairs(tmp_path / "pairs.txt", tmp_path)


def test_the_threshold_of_a_fold_comes_from_the_others() -> None:
    """One fold whose distances are all larger is judged by what holds elsewhere, and fails."""
    folds = make_pairs(PEOPLE)
    near_and_far = {
        pair: (0.3 if pair.same else 0.7) + (1.0 if n == 0 else 0.0)
        for n, fold in enumerate(folds)
        for pair in fold
    }
    found = verify(folds, near_and_far)
    assert found.accuracy == pytest.approx((9 + 0.5) / 10)
    assert found.standard_error == pytest.approx(0.05)
    with pytest.raises(ValueError, match="two folds"):
        verify(folds[:1], near_and_far)


def test_the_fold_itself_has_no_say_in_its_threshold() -> None:
    folds = make_pairs(PEOPLE)[:2]
    distances = {p: (0.3 if p.same else 0.7) + n for n, fold in enumerate(folds) for p in fold}
    assert verify(folds, distances).accuracy == 0.5
