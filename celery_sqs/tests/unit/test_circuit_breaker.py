"""When a worker consumes less, and when it consumes again."""

import threading
import time

import pytest
from celery_sqs._worker import circuit_breaker as module
from celery_sqs._worker.circuit_breaker import IN_A_ROW, CircuitBreaker


def never() -> bool:
    return False


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.2)


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(IN_A_ROW):
        breaker.failed()
    return breaker


def test_closed_it_lets_everything_through_at_once() -> None:
    assert CircuitBreaker().admit(7, never) == 7


def test_a_few_failures_between_successes_do_not_open_it() -> None:
    breaker = CircuitBreaker()
    for _ in range(5):
        for _ in range(IN_A_ROW - 1):
            breaker.failed()
        breaker.finished()
    assert not breaker.is_open


def test_open_it_lets_one_through_after_each_pause() -> None:
    begin = time.monotonic()
    breaker = opened()
    for number in (1, 2):
        assert breaker.admit(7, never) == 1
        assert time.monotonic() - begin >= 0.09 * number


def test_the_pause_doubles_up_to_the_longest() -> None:
    breaker = opened()
    begin = time.monotonic()
    for _ in range(5):
        breaker.failed()
    breaker.admit(1, never)
    assert 0.19 <= time.monotonic() - begin < 5


def test_the_first_that_is_finished_closes_it_and_wakes_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 30.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 30.0)
    breaker = opened()
    admitted: list[int] = []
    waiting = threading.Thread(target=lambda: admitted.append(breaker.admit(7, never)))
    waiting.start()
    breaker.finished()
    waiting.join(5)
    assert admitted == [7]
    assert not breaker.is_open


def test_a_stop_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 30.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 30.0)
    breaker = opened()
    stopped = threading.Event()
    admitted: list[int] = []
    waiting = threading.Thread(target=lambda: admitted.append(breaker.admit(7, stopped.is_set)))
    waiting.start()
    stopped.set()
    breaker.wake()
    waiting.join(5)
    assert admitted == [0]
