"""What came at this time of the day before."""

import pytest

from autoscale.model import ONE_PER_BACKLOG, ScalingLimits
from autoscale.seasonality import NAME, Seasonality
from tests.memory_state import MemoryStateStore

LIMITS = ScalingLimits(cap=15)
NINE = 9 * 3600.0


def counted(days: dict[int, int]) -> Seasonality:
    """Photos at nine by day, counted from a Thursday on; nothing else."""
    season = Seasonality()
    total = 0.0
    season.observe(0.0, total)
    for day, photos in sorted(days.items()):
        season.observe(day * 86400.0 + NINE - 30, total)
        total += photos
        season.observe(day * 86400.0 + NINE + 10, total)
    return season


@pytest.mark.parametrize(
    ("days", "today", "machines"),
    [
        ({0: 200}, 1, 0),  # a single day is no pattern
        ({4: 200, 5: 200}, 6, 2),
        ({4: 200, 5: 20}, 6, 0),  # few enough for a machine that is started for them
        ({0: 200, 1: 200}, 2, 0),  # Saturday
        ({7: 200, 8: 200}, 11, 0),  # Monday: Sunday says nothing, there was no Monday
        ({4: 200, 7: 200, 8: 200, 11: 200}, 18, 2),  # a week ago and two weeks ago
        ({5: 200, 8: 200, 11: 200}, 12, 2),  # a week ago and yesterday
        ({4: 200, 5: 200, 8: 200}, 13, 0),  # it has ended
    ],
)
def test_machines_for_what_two_days_agree_on(
    days: dict[int, int], today: int, machines: int
) -> None:
    season = counted(days)
    assert season.machines(today * 86400.0 + NINE - 40, LIMITS)[0] == machines
    assert season.machines(today * 86400.0 + NINE - 600, LIMITS) == (0, 0)
    assert season.machines(today * 86400.0 + NINE + 600, LIMITS) == (0, 0)


def test_what_has_come_is_expected_no_more() -> None:
    season = counted({4: 200, 5: 200})
    now = 6 * 86400.0 + NINE
    season.observe(now - 60, 400.0)
    assert season.machines(now, LIMITS) == (2, 200)
    season.observe(now + 5, 560.0)
    assert season.machines(now + 6, LIMITS) == (0, 0)


def test_one_per_backlog_expects_nothing() -> None:
    limits = ScalingLimits(cap=15, profile=ONE_PER_BACKLOG)
    assert counted({4: 200, 5: 200}).machines(6 * 86400.0 + NINE - 40, limits) == (0, 0)


def test_counts_outlive_the_controller() -> None:
    state = MemoryStateStore()
    counted({4: 200, 5: 200}).keep(state, 6 * 86400.0)
    successor = Seasonality()
    successor.recover(state)
    assert successor.machines(6 * 86400.0 + NINE - 40, LIMITS) == (2, 200)


def test_a_damaged_record_is_begun_anew() -> None:
    state = MemoryStateStore()
    state.put(NAME, b'{"since": 1, "counts": []}')
    season = Seasonality()
    season.recover(state)
    assert season.machines(NINE, LIMITS) == (0, 0)


def test_a_total_that_begins_anew_counts_nothing() -> None:
    season = Seasonality()
    for day in (4, 5):
        season.observe(day * 86400.0 + NINE, 500.0)
        season.observe(day * 86400.0 + NINE + 20, 3.0)
    assert season.expected(6 * 86400.0 + NINE, 60.0) == 0


def test_two_weeks_of_counts_are_kept() -> None:
    state = MemoryStateStore()
    counted({day: 50 for day in range(40)}).keep(state, 40 * 86400.0)
    assert state.objects[NAME].data.count(b": 50") == 15
