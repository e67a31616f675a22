"""When boots fail again and again."""

import logging

import pytest

from autoscale.launch_breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, LaunchBreaker


def opened(now: float = 0.0) -> LaunchBreaker:
    breaker = LaunchBreaker()
    breaker.gave_up(FAILURES, now)
    return breaker


def test_a_failure_now_and_then_limits_nothing() -> None:
    breaker = LaunchBreaker()
    for n in range(10):
        breaker.gave_up(FAILURES - 1, float(n))
        breaker.came_up({f"i-{n}"})
    assert breaker.limit(99.0) is None


def test_it_opens_with_an_alarm_and_lets_one_through_now_and_then(
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


def test_it_never_waits_longer_than_ten_minutes() -> None:
    breaker, now = opened(), 0.0
    for _ in range(20):
        now += LONGEST_PAUSE
        assert breaker.limit(now) == 1
        breaker.started(now)


def test_one_that_comes_up_closes_it_but_those_that_were_up_do_not() -> None:
    breaker = LaunchBreaker()
    breaker.came_up({"i-old"})
    breaker.gave_up(FAILURES, 0.0)
    breaker.came_up({"i-old"})
    assert breaker.open
    breaker.came_up({"i-old", "i-new"})
    assert not breaker.open
