"""When boots fail again and again."""

import logging

import pytest

from autoscale.launch_breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, LaunchBreaker


def opened(now: float = 0.0) -> LaunchBreaker:
    breaker = LaunchBreaker()
    breaker.gave_up(FAILURES, now)
    return breaker


def test_launch_breaker_tolerates_single_failures() -> None:
    breaker = LaunchBreaker()
    for n in range(10):
        breaker.gave_up(FAILURES - 1, float(n))
        breaker.came_up({f"i-{n}"})
    assert breaker.limit(99.0) is None


def test_launch_breaker_opens_with_an_alarm_and_probes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        breaker = opened()
    assert "ALARM" in caplog.text
    assert breaker.limit(1.0) == 0
    assert breaker.limit(FIRST_PAUSE) == 1
    breaker.started(FIRST_PAUSE)
    assert breaker.limit(FIRST_PAUSE + 1) == 0
    assert breaker.limit(FIRST_PAUSE + 2 * FIRST_PAUSE) == 1


def test_launch_breaker_backoff_is_limited_to_ten_minutes() -> None:
    breaker, now = opened(), 0.0
    for _ in range(20):
        now += LONGEST_PAUSE
        assert breaker.limit(now) == 1
        breaker.started(now)


def test_launch_breaker_closes_on_a_new_boot() -> None:
    breaker = LaunchBreaker()
    breaker.came_up({"i-old"})
    breaker.gave_up(FAILURES, 0.0)
    breaker.came_up({"i-old"})
    assert breaker.open
    breaker.came_up({"i-old", "i-new"})
    assert not breaker.open
