"""Received ahead is what will start in a moment, and nothing else."""

import time
from collections.abc import Sequence

import pytest
from celery_sqs._broker import receiver as module
from celery_sqs._broker.prefetch import PATIENCE, Anteroom
from celery_sqs._broker.receiver import MAX_MESSAGES, Raw, Receiver, Window
from celery_sqs._broker.visibility import Lease
from celery_sqs._worker.circuit_breaker import Breaker


def lease(receipt: str) -> Lease:
    return Lease("q", "u", receipt, "body", 1)


def window_after(*holds: float, capacity: int = 2) -> Window:
    """A window whose last tasks were held so many seconds."""
    window = Window()
    window.resize(capacity)
    for hold in holds:
        window.take(1)
        assert window.start()
        window._started_at[-1] -= hold
        window.release()
    return window


@pytest.mark.parametrize(
    ("window", "ahead"),
    [
        (window_after(), 0),  # nothing is known
        (window_after(0.001), MAX_MESSAGES),
        (window_after(0.02), 4),
        (window_after(0.2), 0),
        (window_after(0.2, capacity=16), 3),
        (window_after(0.001, 0.2, 0.001), 0),  # one long task counts at once
        (window_after(0.2, *[0.001] * 50), MAX_MESSAGES),  # and is forgotten slowly
        (window_after(0.001, capacity=0), 0),  # no limit: nothing is ahead of it
    ],
)
def test_how_many(window: Window, ahead: int) -> None:
    assert window.ahead() == ahead


def test_they_start_in_the_order_of_their_coming_as_slots_become_free() -> None:
    window = window_after(capacity=2)
    anteroom = Anteroom(window)
    assert window.take(4, ahead=2) == 4
    for receipt in "abcd":
        anteroom.enter(lease(receipt))
    assert [one.receipt for one in (anteroom.next(), anteroom.next()) if one] == ["a", "b"]
    assert anteroom.next() is None
    assert window.free == 0
    window.release()
    third = anteroom.next()
    assert third is not None
    assert third.receipt == "c"
    assert len(anteroom) == 1


def test_who_leaves_frees_no_slot_but_his_place() -> None:
    window = window_after(capacity=1)
    anteroom = Anteroom(window)
    window.take(3, ahead=2)
    for receipt in "abc":
        anteroom.enter(lease(receipt))
    assert anteroom.next()
    assert anteroom.leave("b")
    assert not anteroom.leave("b")
    assert not anteroom.leave("a")  # it has started
    window.leave()
    assert anteroom.next() is None
    anteroom.clear(lambda one: (anteroom.leave(one.receipt), window.leave()))  # type: ignore[func-returns-value]
    assert len(anteroom) == 0
    window.release()
    assert window.free == 1


def test_overdue_is_who_waits_too_long() -> None:
    anteroom = Anteroom(window_after())
    anteroom.enter(lease("a"))
    now = time.monotonic()
    assert anteroom.overdue(now) == []
    assert [one.receipt for one in anteroom.overdue(now + PATIENCE)] == ["a"]


class Source:
    """A queue that has so many messages."""

    def __init__(self, messages: int, window: Window) -> None:
        self.left, self.window = messages, window
        self.asked: list[int] = []
        self.anteroom = Anteroom(window)

    def poll(self, queue: str, at_most: int) -> Sequence[Raw]:
        self.asked.append(at_most)
        given = min(at_most, self.left)
        self.left -= given
        if not given:
            time.sleep(0.01)
        return [{}] * given

    def hand_over(self, queue: str, messages: Sequence[Raw]) -> None:
        for n, _ in enumerate(messages):
            self.anteroom.enter(lease(str(n)))
        while self.anteroom:
            while self.anteroom.next():
                self.window.release()  # tasks that do nothing

    def give_back(self, messages: Sequence[Raw]) -> None:
        raise AssertionError("nothing to give back")


def test_a_backlog_of_short_tasks_needs_few_receives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_TICK", 0.1)
    window = window_after(capacity=2)
    source = Source(50, window)
    receiver = Receiver("q", source, window, Breaker())
    receiver.start()
    deadline = time.monotonic() + 10
    while (source.left or len(source.asked) < 8) and time.monotonic() < deadline:
        time.sleep(0.01)
    receiver.stop()
    receiver.join(10)
    assert source.asked[0] == 2  # it does not know yet
    assert source.asked[1:5] == [10, 10, 10, 10]
    assert source.asked[7] == 2  # the queue had less than was asked for: nothing is ahead
