"""Slots that wait a moment for each other, so that one call fills them all."""

import threading
import time
from collections.abc import Sequence

import pytest
from celery_sqs._broker import receiver as module
from celery_sqs._broker.receiver import Raw, Receiver, Window
from celery_sqs._worker.circuit_breaker import Breaker


def held(window: Window, seconds: float) -> None:
    """Teaches the window how long messages are held."""
    for _ in range(20):
        window.take(1)
        window.start()
        window._started_at[-1] -= seconds
        window.release()


def gathering(window: Window) -> tuple[int, float]:
    began = time.monotonic()
    return window.gather(), time.monotonic() - began


@pytest.fixture
def window() -> Window:
    window = Window()
    window.resize(2)
    return window


def test_a_free_slot_waits_for_the_other(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_MOST", 10.0)
    held(window, 20.0)
    window.take(1)
    threading.Timer(0.05, window.release).start()
    assert window.gather() == 2


def test_it_waits_no_longer_than_a_share_of_what_a_task_takes(window: Window) -> None:
    held(window, 0.004)
    window.take(1)
    free, waited = gathering(window)
    assert free == 1
    assert waited < 0.5


def test_it_never_waits_long_for_long_tasks(window: Window) -> None:
    held(window, 3600.0)
    window.take(1)
    free, waited = gathering(window)
    assert free == 1
    assert 0.005 < waited < 0.5


def test_all_free_slots_wait_for_nothing(window: Window) -> None:
    held(window, 3600.0)
    assert window.gather() == 2


class Source:
    """A queue that always has more, and remembers how much it was asked for."""

    def __init__(self, window: Window) -> None:
        self.asked: list[int] = []
        self.window = window
        self.done = threading.Event()

    def poll(self, queue: str, at_most: int) -> Sequence[Raw]:
        self.asked.append(at_most)
        if len(self.asked) == 6:
            self.done.set()
        return [{}] * at_most

    def hand_over(self, queue: str, messages: Sequence[Raw]) -> None:
        for delay, _ in enumerate(messages):  # the second task takes a little longer
            self.window.start()
            threading.Timer(0.02 + 0.002 * delay, self.window.release).start()

    def give_back(self, queue: str, messages: Sequence[Raw]) -> None:
        raise AssertionError("nothing to give back")


def test_a_backlog_is_received_by_full_windows(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_MOST", 1.0)
    held(window, 2.0)
    source = Source(window)
    receiver = Receiver("q", source, window, Breaker())
    receiver.start()
    assert source.done.wait(10)
    receiver.stop()
    receiver.join(10)
    assert set(source.asked[:6]) == {2}
