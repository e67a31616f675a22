"""Messages wait for a slot in order, and go back when it takes too long."""

import time

from celery_sqs._broker.flow_control import FlowControl, Reservation
from celery_sqs._broker.held_messages import HeldMessage
from celery_sqs._broker.prefetch import BUFFER_SECONDS, PrefetchBuffer


def held(receipt: str, receives: int = 1, limit: int | None = None) -> HeldMessage:
    return HeldMessage("q", "u", receipt, "body", receives, limit)


def buffer_of(capacity: int, *messages: HeldMessage) -> tuple[FlowControl, PrefetchBuffer]:
    flow = FlowControl()
    flow.resize(capacity)
    flow.admit(len(messages), Reservation(0, 0))
    buffer = PrefetchBuffer(flow)
    for message in messages:
        buffer.add(message)
    return flow, buffer


def test_they_start_in_order_of_arrival_as_slots_become_free() -> None:
    flow, buffer = buffer_of(2, *map(held, "abcd"))
    first, second = buffer.next(), buffer.next()
    assert [each.receipt for each in (first, second) if each] == ["a", "b"]
    assert buffer.next() is None
    flow.finish()
    third = buffer.next()
    assert third is not None
    assert third.receipt == "c"
    assert len(buffer) == 1


def test_removing_frees_no_slot_of_another() -> None:
    flow, buffer = buffer_of(1, *map(held, "abc"))
    assert buffer.next()
    assert buffer.remove("b")
    assert not buffer.remove("b")
    assert not buffer.remove("a")  # it has started
    assert buffer.next() is None
    assert buffer.remove("c")
    flow.finish()
    assert flow.free == 1


def test_overdue_messages_go_back_unless_that_would_kill_them() -> None:
    _, buffer = buffer_of(1, held("a"), held("b", receives=2, limit=3), held("c", limit=3))
    now = time.monotonic()
    assert buffer.overdue(now) == []
    assert [each.receipt for each in buffer.overdue(now + BUFFER_SECONDS)] == ["a", "c"]
