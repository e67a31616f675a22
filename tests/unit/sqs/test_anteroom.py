"""Received ahead is what will start in a moment, and nothing else."""

import time
from collections.abc import Sequence

import pytest
from celery_sqs._broker import receiver as module
from celery_sqs._broker.prefetch import PATIENCE, PrefetchBuffer
from celery_sqs._broker.receiver import MAX_MESSAGES, FlowControl, Raw, Receiver
from celery_sqs._broker.visibility import HeldMessage
from celery_sqs._worker.circuit_breaker import CircuitBreaker


def held(receipt: str) -> HeldMessage:
    return HeldMessage("q", "u", receipt, "body", 1)


def window_after(*holds: float, capacity: int = 2) -> FlowControl:
    """A flow whose last tasks were held so many seconds."""
    flow = FlowControl()
    flow.resize(capacity)
    for hold in holds:
        flow.take(1)
        assert flow.start()
        flow._started_at[-1] -= hold
        flow.release()
    return flow


@pytest.mark.parametrize(
    ("flow", "ahead"),
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
def test_how_many(flow: FlowControl, ahead: int) -> None:
    assert flow.ahead() == ahead


def test_they_start_in_the_order_of_their_coming_as_slots_become_free() -> None:
    flow = window_after(capacity=2)
    prefetch_buffer = PrefetchBuffer(flow)
    assert flow.take(4, ahead=2) == 4
    for receipt in "abcd":
        prefetch_buffer.enter(held(receipt))
    assert [one.receipt for one in (prefetch_buffer.next(), prefetch_buffer.next()) if one] == [
        "a",
        "b",
    ]
    assert prefetch_buffer.next() is None
    assert flow.free == 0
    flow.release()
    third = prefetch_buffer.next()
    assert third is not None
    assert third.receipt == "c"
    assert len(prefetch_buffer) == 1


def test_who_leaves_frees_no_slot_but_his_place() -> None:
    flow = window_after(capacity=1)
    prefetch_buffer = PrefetchBuffer(flow)
    flow.take(3, ahead=2)
    for receipt in "abc":
        prefetch_buffer.enter(held(receipt))
    assert prefetch_buffer.next()
    assert prefetch_buffer.leave("b")
    assert not prefetch_buffer.leave("b")
    assert not prefetch_buffer.leave("a")  # it has started
    flow.leave()
    assert prefetch_buffer.next() is None
    prefetch_buffer.clear(lambda one: (prefetch_buffer.leave(one.receipt), flow.leave()))  # type: ignore[func-returns-value]
    assert len(prefetch_buffer) == 0
    flow.release()
    assert flow.free == 1


def test_overdue_is_who_waits_too_long() -> None:
    prefetch_buffer = PrefetchBuffer(window_after())
    prefetch_buffer.enter(held("a"))
    now = time.monotonic()
    assert prefetch_buffer.overdue(now) == []
    assert [one.receipt for one in prefetch_buffer.overdue(now + PATIENCE)] == ["a"]


class Source:
    """A queue that has so many messages."""

    def __init__(self, messages: int, flow: FlowControl) -> None:
        self.left, self.flow = messages, flow
        self.asked: list[int] = []
        self.prefetch_buffer = PrefetchBuffer(flow)

    def poll(self, queue: str, at_most: int) -> Sequence[Raw]:
        self.asked.append(at_most)
        given = min(at_most, self.left)
        self.left -= given
        if not given:
            time.sleep(0.01)
        return [{}] * given

    def hand_over(self, queue: str, messages: Sequence[Raw]) -> None:
        for n, _ in enumerate(messages):
            self.prefetch_buffer.enter(held(str(n)))
        while self.prefetch_buffer:
            while self.prefetch_buffer.next():
                self.flow.release()  # tasks that do nothing

    def give_back(self, messages: Sequence[Raw]) -> None:
        raise AssertionError("nothing to give back")


def test_a_backlog_of_short_tasks_needs_few_receives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_TICK", 0.1)
    flow = window_after(capacity=2)
    source = Source(50, flow)
    receiver = Receiver("q", source, flow, CircuitBreaker())
    receiver.start()
    deadline = time.monotonic() + 10
    while (source.left or len(source.asked) < 8) and time.monotonic() < deadline:
        time.sleep(0.01)
    receiver.stop()
    receiver.join(10)
    assert source.asked[0] == 2  # it does not know yet
    assert source.asked[1:5] == [10, 10, 10, 10]
    assert source.asked[7] == 2  # the queue had less than was asked for: nothing is ahead
