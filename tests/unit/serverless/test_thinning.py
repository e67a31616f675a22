"""Which frames of a video go to stage 1."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from serverless.thinning import CLOSEST, MOST, Thinning


def steady(seconds: float, every: float = CLOSEST) -> Iterator[float]:
    return (number * every for number in range(int(seconds / every)))


def test_a_short_video_keeps_every_frame_that_is_handed_out() -> None:
    thinning = Thinning(60.0)
    assert all(thinning.keeps(time, False) for time in steady(60))


def test_a_video_of_fifteen_minutes_keeps_one_a_second() -> None:
    thinning = Thinning(900.0)
    kept = [time for time in steady(900) if thinning.keeps(time, False)]
    assert {after - before for before, after in pairwise(kept)} == {1.0}


@pytest.mark.parametrize("claimed", [None, 1.0])
def test_a_header_that_says_nothing_or_lies_changes_little(claimed: float | None) -> None:
    thinning = Thinning(claimed)
    assert sum(thinning.keeps(time, False) for time in steady(4 * 3600)) < 6 * MOST


def test_beginnings_of_scenes_are_kept_between() -> None:
    thinning = Thinning(900.0)
    assert thinning.keeps(0.0, True)
    assert not thinning.keeps(0.5, False)
    assert thinning.keeps(0.6, True)


def test_flickering_video_has_a_limited_number_of_frames() -> None:
    thinning = Thinning(900.0)
    assert sum(thinning.keeps(time, True) for time in steady(900, 0.12)) <= 2 * MOST
