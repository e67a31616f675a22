"""AnswerStatistics of the last fifteen minutes, in constant memory."""

import random
import tracemalloc

import pytest

from webapp.services.recent_answers import BOUNDS, SLOT, SLOTS, RecentAnswers

NOW = 1_000_000.0


def test_percentiles_without_answers_are_none() -> None:
    total = RecentAnswers().total(NOW)
    assert (total.count, total.p50, total.p99) == (0, None, None)
    assert [slot.count for slot in RecentAnswers().slots(NOW)] == [0] * SLOTS


def test_percentiles_within_15_percent() -> None:
    seconds = [random.Random(n).lognormvariate(0, 1) for n in range(1000)]
    recent = RecentAnswers()
    for one in seconds:
        recent.add(NOW, one)
    total = recent.total(NOW)
    true = sorted(seconds)
    for found, truth in ((total.p50, true[499]), (total.p95, true[949]), (total.p99, true[989])):
        assert found is not None
        assert truth <= found <= truth * 1.16


def test_window_drops_old_answers() -> None:
    recent = RecentAnswers()
    recent.add(NOW, 1.0)
    later = NOW + SLOT * SLOTS
    recent.add(later, 2.0)
    assert recent.total(later).count == 1
    assert recent.total(later + SLOT * SLOTS).count == 0


def test_old_answers_take_no_memory() -> None:
    recent = RecentAnswers()
    tracemalloc.start()
    try:
        recent.add(NOW, 1.0)
        one, _ = tracemalloc.get_traced_memory()
        for number in range(1, 50):
            recent.add(NOW + number * SLOT * SLOTS, 1.0)
        fifty, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fifty < 3 * one


def test_total_of_shorter_window() -> None:
    recent = RecentAnswers()
    recent.add(NOW - 120, 1.0)
    recent.add(NOW, 1.0)
    assert recent.total(NOW, 60).count == 1
    assert [slot.count for slot in recent.slots(NOW)][-1] == 1
    assert [slot.count for slot in recent.slots(NOW)][-25] == 1


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_latency_bounds_are_clamped(seconds: float) -> None:
    recent = RecentAnswers()
    recent.add(NOW, seconds)
    assert recent.total(NOW).p50 in (BOUNDS[0], BOUNDS[-1])
