"""A receiver never ends by itself, takes what fits, gives back what it cannot use."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError
from celery_sqs._broker import receiver as module
from celery_sqs._broker.flow_control import FlowControl, Reservation
from celery_sqs._broker.held_messages import HeldMessage
from celery_sqs._broker.receiver import Receiver
from celery_sqs._worker.circuit_breaker import CircuitBreaker


class Script:
    """A queue that answers each poll with the next of ``answers``; an exception is raised."""

    def __init__(self, flow: FlowControl, *answers: Any) -> None:
        self.flow = flow
        self.answers = list(answers)
        self.asked: list[int] = []
        self.asked_at: list[float] = []
        self.delivered: list[str] = []
        self.returned: list[str] = []
        self.idle = threading.Event()
        self.hold: threading.Event | None = None

    def poll(self, queue: str, at_most: int, *, brief: bool) -> list[HeldMessage]:
        self.asked.append(at_most)
        self.asked_at.append(time.monotonic())
        if not self.answers:
            self.idle.set()
            time.sleep(0.01)
            return []
        answer = self.answers.pop(0)
        if self.hold is not None:
            self.hold.wait(5)
        if isinstance(answer, Exception):
            raise answer
        return [HeldMessage(queue, "u", name, "", 1) for name in answer]

    def deliver(
        self, queue: str, messages: Sequence[HeldMessage], reservation: Reservation
    ) -> None:
        self.flow.admit(len(messages), reservation)
        self.delivered += [message.receipt for message in messages]

    def give_back(self, messages: Sequence[HeldMessage]) -> None:
        self.returned += [message.receipt for message in messages]


@pytest.fixture
def receive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Receiver]]:
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.01)
    started: list[Receiver] = []

    def start(script: Script) -> Receiver:
        script.flow.join("q")
        started.append(Receiver("q", script, script.flow, CircuitBreaker()))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()
    for one in started:
        one.join(5)
        assert not one.is_alive()


def flow_of(capacity: int) -> FlowControl:
    flow = FlowControl()
    flow.resize(capacity)
    return flow


def test_no_failure_of_a_poll_ends_it(receive: Callable[..., Receiver]) -> None:
    script = Script(flow_of(0), OSError("reset"), ValueError("no XML"), KeyError("M"), ["a"])
    running = receive(script)
    assert script.idle.wait(5)
    assert script.delivered == ["a"]
    assert running.health.failures == 0
    assert running.is_alive()


def test_a_failed_poll_gives_its_reservation_back(
    receive: Callable[..., Receiver], eventually: Callable[..., None]
) -> None:
    script = Script(flow_of(2), OSError("reset"), OSError("reset"), ["a", "b"])
    receive(script)
    eventually(lambda: script.delivered == ["a", "b"])
    assert script.asked[:3] == [2, 2, 2]


def test_it_asks_for_what_fits(
    receive: Callable[..., Receiver], eventually: Callable[..., None]
) -> None:
    script = Script(flow_of(3), ["a", "b"], ["c"])
    receive(script)
    eventually(lambda: len(script.delivered) == 3)
    time.sleep(0.05)
    assert script.asked == [3, 1]
    assert script.flow.free == 0


def test_it_wakes_when_a_slot_is_free(
    receive: Callable[..., Receiver], eventually: Callable[..., None]
) -> None:
    script = Script(flow_of(1), ["a"], ["b"])
    receive(script)
    eventually(lambda: script.delivered == ["a"])
    assert script.flow.start()
    finished = time.monotonic()
    script.flow.finish()
    eventually(lambda: len(script.delivered) == 2, every=0.001)
    assert time.monotonic() - finished < 0.5


def test_a_lone_message_has_a_head_start_of_the_next_poll(
    receive: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_START_SECONDS", 0.2)
    script = Script(flow_of(2), ["a"])
    receive(script)
    assert script.idle.wait(5)
    assert script.asked_at[1] - script.asked_at[0] >= 0.2


def test_several_messages_have_no_head_start(
    receive: Callable[..., Receiver],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
) -> None:
    monkeypatch.setattr(module, "HEAD_START_SECONDS", 60.0)
    script = Script(flow_of(0), ["a", "b"], ["c"])
    receive(script)
    eventually(lambda: script.delivered == ["a", "b", "c"])


def test_a_message_that_fills_the_only_slot_has_no_head_start(
    receive: Callable[..., Receiver],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
) -> None:
    monkeypatch.setattr(module, "HEAD_START_SECONDS", 60.0)
    script = Script(flow_of(1), ["a"], ["b"])
    receive(script)
    eventually(lambda: script.delivered == ["a"])
    assert script.flow.start()
    script.flow.finish()
    eventually(lambda: script.delivered == ["a", "b"])


def test_a_head_start_ends_when_the_receiver_is_stopped(
    receive: Callable[..., Receiver],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
) -> None:
    monkeypatch.setattr(module, "HEAD_START_SECONDS", 60.0)
    script = Script(flow_of(2), ["a"])
    running = receive(script)
    eventually(lambda: script.delivered == ["a"])
    running.stop()
    running.join(5)
    assert not running.is_alive()


def test_what_an_open_poll_still_brings_is_given_back(
    receive: Callable[..., Receiver], eventually: Callable[..., None]
) -> None:
    script = Script(flow_of(0), ["a", "b"])
    script.hold = threading.Event()
    running = receive(script)
    eventually(lambda: script.asked)
    running.stop()
    script.hold.set()
    running.join(5)
    assert script.delivered == []
    assert script.returned == ["a", "b"]


def test_full_slots_are_no_reason_to_call_it_stuck(
    receive: Callable[..., Receiver], eventually: Callable[..., None]
) -> None:
    running = receive(Script(flow_of(1), ["a"]))
    eventually(lambda: not running.has_capacity)


def test_refused_credentials_are_noted_until_a_poll_succeeds(
    receive: Callable[..., Receiver], eventually: Callable[..., None]
) -> None:
    expired = ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, "ReceiveMessage")
    script = Script(flow_of(1), *[expired] * 3)
    running = receive(script)
    eventually(lambda: running.health.refused_since is not None)
    assert script.idle.wait(5)
    eventually(lambda: running.health.refused_since is None)


def test_pauses_grow_to_a_limit() -> None:
    pauses = [module.retry_seconds(n) for n in range(1, 12)]
    assert 0.5 <= pauses[0] <= 0.7
    assert all(pause <= module.LONGEST_RETRY_SECONDS * 1.25 for pause in pauses)
    assert pauses[-1] >= module.LONGEST_RETRY_SECONDS
