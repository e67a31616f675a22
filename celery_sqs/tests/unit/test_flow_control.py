"""Slots are reserved before a poll, shared fairly among queues, and never lost."""

import threading
import time
from collections.abc import Callable

import pytest
from celery_sqs._broker.flow_control import MAX_MESSAGES, NOTHING, FlowControl, Reservation


def of(capacity: int, *queues: str, by_priority: bool = False) -> FlowControl:
    flow = FlowControl(by_priority=by_priority)
    flow.resize(capacity)
    for queue in queues or ("q",):
        flow.join(queue)
    return flow


def reserve(flow: FlowControl, queue: str = "q", *, idle: bool = False) -> Reservation:
    return flow.reserve(queue, idle=idle, timeout=0.05, unless=lambda: False)


def alone(slots: int, messages: int | None = None) -> Reservation:
    """Of the only queue."""
    return Reservation(slots, slots if messages is None else messages)


def beside_others(slots: int) -> Reservation:
    """Of one queue of several."""
    return Reservation(slots, slots, brief=True)


def test_a_single_queue_gets_every_free_slot() -> None:
    flow = of(3)
    assert reserve(flow) == alone(3)
    assert flow.free == 0
    flow.admit(1, Reservation(3, 3))
    assert flow.free == 2


def test_no_limit_means_as_much_as_a_poll_can_bring() -> None:
    flow = of(0)
    flow.admit(50, Reservation(0, 0))
    assert reserve(flow).messages == MAX_MESSAGES


def test_waiting_for_a_slot_has_an_end() -> None:
    flow = of(1)
    assert reserve(flow) == alone(1)
    began = time.monotonic()
    assert reserve(flow) == NOTHING
    assert time.monotonic() - began < 1


def test_an_empty_poll_gives_its_slots_back() -> None:
    flow = of(2)
    flow.admit(0, reserve(flow))
    assert flow.free == 2


def test_two_busy_queues_share_the_slots() -> None:
    flow = of(2, "a", "b")
    flow.admit(2, Reservation(0, 0))
    got: dict[str, Reservation] = {}

    def wait(queue: str) -> None:
        got[queue] = flow.reserve(queue, idle=False, timeout=5, unless=lambda: False)

    threads = [threading.Thread(target=wait, args=(queue,)) for queue in "ab"]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    flow.cancel(2)
    for thread in threads:
        thread.join(5)
    assert got == {"a": beside_others(1), "b": beside_others(1)}
    assert flow.free == 0


def test_an_idle_queue_keeps_no_slot_from_a_busy_one() -> None:
    flow = of(1, "idle", "busy")
    assert reserve(flow, "idle", idle=True) == Reservation(0, 1)
    assert reserve(flow, "busy") == beside_others(1)


def test_a_queue_that_is_first_alone_keeps_no_slot_from_the_next() -> None:
    """Receivers start one after another: the first must not reserve as if it stayed alone."""
    flow = of(1, "idle")
    assert reserve(flow, "idle", idle=True) == Reservation(0, 1)
    flow.join("busy")
    assert reserve(flow, "busy") == beside_others(1)


def test_a_message_without_a_slot_waits_before_any_queue_is_asked() -> None:
    flow = of(1, "idle", "busy")
    idle = reserve(flow, "idle", idle=True)
    flow.admit(1, reserve(flow, "busy"))
    flow.admit(1, idle)
    assert flow.start()
    assert not flow.start()
    flow.finish()
    assert reserve(flow, "busy") == NOTHING
    assert flow.start()


@pytest.mark.parametrize(("by_priority", "first"), [(False, "low"), (True, "high")])
def test_order_of_queues(by_priority: bool, first: str, eventually: Callable[..., None]) -> None:
    flow = of(1, "high", "low", by_priority=by_priority)
    flow.admit(1, Reservation(0, 0))
    served: list[str] = []

    def wait(queue: str) -> None:
        reservation = flow.reserve(queue, idle=False, timeout=5, unless=lambda: False)
        served.append(queue)
        flow.admit(0, reservation)

    threads = [threading.Thread(target=wait, args=(queue,)) for queue in ("low", "high")]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    flow.cancel()
    eventually(lambda: len(served) == 2)
    assert served[0] == first


@pytest.mark.parametrize(
    ("took", "messages"),
    [
        ([], 2),  # nothing is known
        ([0.001], MAX_MESSAGES),
        ([0.02], 7),
        ([0.2], 2),
        ([0.001, 0.2, 0.001], 2),  # one long task counts at once
        ([0.2] + 50 * [0.001], MAX_MESSAGES),  # and is forgotten slowly
    ],
)
def test_short_tasks_are_prefetched(took: list[float], messages: int) -> None:
    now = [0.0]
    flow = FlowControl(clock=lambda: now[0])
    flow.resize(2)
    flow.join("q")
    for seconds in took:
        flow.admit(1, Reservation(0, 0))
        assert flow.start()
        now[0] += seconds
        flow.finish()
    flow.admit(0, reserve(flow, idle=True))  # the first poll of a queue prefetches nothing
    assert reserve(flow) == alone(2, messages)


def test_a_shrunk_capacity_is_full_until_enough_has_finished() -> None:
    flow = of(3)
    flow.admit(3, reserve(flow))
    for _ in range(3):
        assert flow.start()
    flow.resize(1)
    flow.finish()
    assert flow.free == 0
    flow.finish()
    flow.finish()
    assert flow.free == 1
