"""Slots that wait a moment for each other, so that one call fills them all."""

import threading
import time
from collections.abc import Sequence

import pytest
from celery_sqs._broker import receiver as module
from celery_sqs._broker.receiver import FlowControl, Raw, Receiver
from celery_sqs._worker.circuit_breaker import CircuitBreaker


def held(flow: FlowControl, seconds: float) -> None:
    """Teaches the flow how long messages are held."""
    for _ in range(20):
        flow.take(1)
        flow.start()
        flow._started_at[-1] -= seconds
        flow.release()


def capture_results(flow: FlowControl) -> tuple[int, float]:
    began = time.monotonic()
    return flow.gather(), time.monotonic() - began


@pytest.fixture
def flow() -> FlowControl:
    flow = FlowControl()
    flow.resize(2)
    return flow


def test_a_free_slot_waits_for_the_other(
    flow: FlowControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_MOST", 10.0)
    held(flow, 20.0)
    flow.take(1)
    threading.Timer(0.05, flow.release).start()
    assert flow.gather() == 2


def test_it_waits_no_longer_than_a_share_of_what_a_task_takes(flow: FlowControl) -> None:
    held(flow, 0.004)
    flow.take(1)
    free, waited = capture_results(flow)
    assert free == 1
    assert waited < 0.5


def test_it_never_waits_long_for_long_tasks(flow: FlowControl) -> None:
    held(flow, 3600.0)
    flow.take(1)
    free, waited = capture_results(flow)
    assert free == 1
    assert 0.005 < waited < 0.5


def test_all_free_slots_wait_for_nothing(flow: FlowControl) -> None:
    held(flow, 3600.0)
    assert flow.gather() == 2


class Source:
    """A queue that always has more, and remembers how much it was asked for."""

    def __init__(self, flow: FlowControl) -> None:
        self.asked: list[int] = []
        self.flow = flow
        self.done = threading.Event()

    def poll(self, queue: str, at_most: int) -> Sequence[Raw]:
        self.asked.append(at_most)
        if len(self.asked) == 6:
            self.done.set()
        return [{}] * at_most

    def hand_over(self, queue: str, messages: Sequence[Raw]) -> None:
        for delay, _ in enumerate(messages):  # the second task takes a little longer
            self.flow.start()
            threading.Timer(0.02 + 0.002 * delay, self.flow.release).start()

    def give_back(self, queue: str, messages: Sequence[Raw]) -> None:
        raise AssertionError("nothing to give back")


def test_a_backlog_is_received_by_full_windows(
    flow: FlowControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_MOST", 1.0)
    held(flow, 2.0)
    source = Source(flow)
    receiver = Receiver("q", source, flow, CircuitBreaker())
    receiver.start()
    assert source.done.wait(10)
    receiver.stop()
    receiver.join(10)
    assert set(source.asked[:6]) == {2}
