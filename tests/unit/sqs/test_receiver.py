"""A receiver never ends by itself, takes what fits, gives back what it cannot use."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from celery_sqs._broker import receiver as module
from celery_sqs._broker.receiver import MAX_MESSAGES, FlowControl, Raw, Receiver
from celery_sqs._worker.circuit_breaker import CircuitBreaker


class Script:
    """A queue that answers each poll with the next of ``answers``; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []
        self.handed: list[str] = []
        self.returned: list[str] = []
        self.idle = threading.Event()
        self.hold: threading.Event | None = None

    def poll(self, queue: str, at_most: int) -> Sequence[Raw]:
        self.asked.append(at_most)
        if not self.answers:
            self.idle.set()
            time.sleep(0.01)
            return []
        answer = self.answers.pop(0)
        if self.hold is not None:
            self.hold.wait(5)
        if isinstance(answer, Exception):
            raise answer
        return [{"ReceiptHandle": name} for name in answer]

    def hand_over(self, queue: str, messages: Sequence[Raw]) -> None:
        self.handed += [m["ReceiptHandle"] for m in messages]

    def give_back(self, messages: Sequence[Raw]) -> None:
        self.returned += [m["ReceiptHandle"] for m in messages]


@pytest.fixture
def receive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Receiver]]:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    started: list[Receiver] = []

    def start(script: Script, flow: FlowControl) -> Receiver:
        started.append(Receiver("q", script, flow, CircuitBreaker()))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()
    for one in started:
        one.join(5)
        assert not one.is_alive()


def window_of(capacity: int) -> FlowControl:
    flow = FlowControl()
    flow.resize(capacity)
    return flow


def test_no_failure_of_a_poll_ends_it(receive: Callable[..., Receiver]) -> None:
    script = Script(OSError("reset"), ValueError("no XML"), KeyError("Messages"), ["a"])
    running = receive(script, window_of(0))
    assert script.idle.wait(5)
    assert script.handed == ["a"]
    assert running.health.failures == 0
    assert running.is_alive()


def test_it_asks_for_what_fits(receive: Callable[..., Receiver]) -> None:
    script, flow = Script(["a", "b"], ["c"]), window_of(3)
    receive(script, flow)
    while len(script.handed) < 3:
        time.sleep(0.01)
    time.sleep(0.05)
    assert script.asked == [3, 1]
    assert flow.free == 0


def test_it_wakes_when_a_slot_is_free(receive: Callable[..., Receiver]) -> None:
    script, flow = Script(["a"], ["b"]), window_of(1)
    receive(script, flow)
    while not script.handed:
        time.sleep(0.01)
    released = time.monotonic()
    flow.release()
    while len(script.handed) < 2:
        time.sleep(0.001)
    assert time.monotonic() - released < 0.5


def test_what_does_not_fit_any_more_is_given_back(receive: Callable[..., Receiver]) -> None:
    script, flow = Script(["a", "b", "c"]), window_of(3)
    script.hold = threading.Event()
    receive(script, flow)
    while not script.asked:
        time.sleep(0.01)
    assert flow.take(2) == 2  # another queue of this channel was quicker
    script.hold.set()
    while not script.returned:
        time.sleep(0.01)
    assert script.handed == ["a"]
    assert script.returned == ["b", "c"]


def test_what_an_open_poll_still_brings_is_given_back(receive: Callable[..., Receiver]) -> None:
    script = Script(["a", "b"])
    script.hold = threading.Event()
    running = receive(script, window_of(0))
    while not script.asked:
        time.sleep(0.01)
    running.stop()
    script.hold.set()
    running.join(5)
    assert script.handed == []
    assert script.returned == ["a", "b"]


def test_a_full_window_is_no_reason_to_call_it_stuck(receive: Callable[..., Receiver]) -> None:
    running = receive(Script(["a"]), window_of(1))
    while running.health.received < 1:
        time.sleep(0.01)
    assert not running.has_capacity


def test_pauses_grow_to_a_limit() -> None:
    pauses = [module._pause(n) for n in range(1, 12)]
    assert 0.5 <= pauses[0] <= 0.7
    assert all(p <= module.LONGEST_PAUSE * 1.25 for p in pauses)
    assert pauses[-1] >= module.LONGEST_PAUSE


def test_a_shrunk_window_is_full_until_enough_is_released() -> None:
    flow = window_of(3)
    flow.take(3)
    flow.resize(1)
    flow.release()
    assert flow.free == 0
    flow.release(2)
    assert flow.free == 1


def test_no_limit_means_as_much_as_a_poll_can_bring() -> None:
    flow = FlowControl()
    assert flow.take(50) == MAX_MESSAGES
    assert flow.free == MAX_MESSAGES


def test_waiting_for_a_slot_has_an_end() -> None:
    flow = window_of(1)
    flow.take(1)
    begin = time.monotonic()
    assert flow.wait_free(0.05, unless=lambda: False) == 0
    assert time.monotonic() - begin < 1
