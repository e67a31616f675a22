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


def fifo(receipt: str, group: str) -> HeldMessage:
    return HeldMessage("q.fifo", "u.fifo", receipt, "body", 1, group=group)


def test_of_a_message_group_one_runs_at_a_time_in_order() -> None:
    _, buffer = buffer_of(3, fifo("a1", "a"), fifo("a2", "a"), fifo("b1", "b"), held("c"))
    started = [each.receipt for each in iter(buffer.next, None)]
    assert started == ["a1", "b1", "c"]
    assert [each.receipt for each in buffer.after("a1")] == ["a2"]
    buffer.finish("a1")
    following = buffer.next()
    assert following is not None
    assert following.receipt == "a2"


def test_a_message_behind_its_group_is_not_overdue() -> None:
    """In its queue it could not be received by others either."""
    _, buffer = buffer_of(1, fifo("a1", "a"), fifo("a2", "a"))
    assert buffer.next()
    assert buffer.overdue(time.monotonic() + BUFFER_SECONDS) == []
