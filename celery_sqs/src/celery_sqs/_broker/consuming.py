"""Consuming in a worker: receiver threads on one side, the event loop on the other."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger

from celery_sqs._broker.deliveries import Deliveries
from celery_sqs._broker.flow_control import FlowControl, Reservation
from celery_sqs._broker.held_messages import HeldMessage
from celery_sqs._broker.prefetch import BUFFER_SECONDS, PrefetchBuffer
from celery_sqs._broker.receiver import Receiver
from celery_sqs._worker.circuit_breaker import CircuitBreaker
from celery_sqs.errors import UnreadableMessage

if TYPE_CHECKING:
    from celery_sqs._broker.transport import Transport

logger = get_logger(__name__)

TURN_SECONDS = 0.01
"""Until the event loop takes another turn after a delivery."""
BRIEF_POLL_SECONDS = 1
"""A poll whose slots other queues wait for. The shortest long poll: one of 0 s asks only a part of
a queue's servers and can miss messages.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""


class WorkerConsumer:
    """The consumers of one channel in a process that has an event loop."""

    def __init__(
        self,
        transport: "Transport",
        hub: Any,
        url_of: Callable[[str], str],
        is_closed: Callable[[], bool],
    ) -> None:
        """``url_of`` gives a queue's URL and makes the queue if it must; may call AWS."""
        self._transport = transport
        self.hub = hub
        self._url_of = url_of
        self._is_closed = is_closed
        self._breaker = CircuitBreaker()
        by_priority = transport.options.queue_order_strategy == "priority"
        self.flow = FlowControl(by_priority=by_priority)
        self._buffer = PrefetchBuffer(self.flow)
        self._receivers: dict[str, Receiver] = {}
        self.deliveries = Deliveries(transport)

    def start(self, queue: str) -> None:
        """Begins to receive from a queue; does nothing when it does already."""
        running = self._receivers.get(queue)
        if running is not None and not running.stopping:
            return
        no_ack = queue in self._transport.no_ack_queues
        if not no_ack:
            self.deliveries.start()
        self.flow.join(queue)
        breaker = CircuitBreaker() if no_ack else self._breaker
        receiver = self._receivers[queue] = Receiver(queue, self, self.flow, breaker)
        self._transport.start(receiver)

    def stop(self, queue: str) -> bool:
        """Stops receiving from a queue; false when it was not received from here."""
        receiver = self._receivers.get(queue)
        if receiver is None:
            return False
        receiver.stop()
        self.flow.leave(queue)
        return True

    # In the receiver's thread

    def poll(self, queue: str, at_most: int, *, brief: bool) -> list[HeldMessage]:
        """One ReceiveMessage with a long poll; may raise anything.

        What comes too early is hidden again. ``brief``: of a second at most.
        """
        url = self._url_of(queue)
        wait = self._transport.options.wait_time_seconds
        if brief:
            wait = min(wait, BRIEF_POLL_SECONDS)
        reader = self._transport.reader
        found = reader.receive(queue, url, at_most, wait)
        if queue in self._transport.no_ack_queues:
            return found
        return reader.with_limit(reader.with_bodies(reader.postpone_early(found)), url)

    def deliver(
        self, queue: str, messages: Sequence[HeldMessage], reservation: Reservation
    ) -> None:
        """Hands over to the event loop; makes no call and raises nothing.

        From here on the messages are held.
        """
        if queue not in self._transport.no_ack_queues:
            for message in messages:
                self.deliveries.add(message)
        self.flow.admit(len(messages), reservation)
        if messages:
            self.hub.call_soon(self._deliver, queue, messages)

    def give_back(self, messages: Sequence[HeldMessage]) -> None:
        """Makes visible again what a receiver brought that was stopped meanwhile."""
        for message in messages:
            self._transport.acknowledger.change_visibility(message.url, message.receipt)

    # In the event loop

    def _deliver(self, queue: str, messages: Sequence[HeldMessage]) -> None:
        if queue in self._transport.no_ack_queues:
            self.flow.cancel(len(messages))
            callback = None if self._is_ending() else self._transport.callback(queue)
            for message in messages:
                if callback is not None:
                    self._deliver_one(message, callback)
        else:
            for message in messages:
                self._buffer.add(message)
            self._start_buffered()
            if self._buffer:
                self.hub.call_later(BUFFER_SECONDS, self._requeue_overdue)
        # What these callbacks left to be called soon, such as the sending of events, would wait for
        # the next timer: the loop looks for it only before it waits.
        self.hub.call_later(TURN_SECONDS, noop)

    def _start_buffered(self) -> None:
        """As many of those that wait as there are slots; all go back when there will be none."""
        no_trial = self._breaker.is_open and len(self._buffer) > 1
        if self._is_ending() or no_trial:
            for message in self._buffer.messages():
                self.requeue_now(message.receipt)
        while (next_one := self._buffer.next()) is not None:
            callback = self._transport.callback(next_one.queue)
            if callback is None:
                self.requeue_now(next_one.receipt)
            else:
                self._deliver_one(next_one, callback)

    def _requeue_overdue(self) -> None:
        for message in self._buffer.overdue(time.monotonic()):
            self.requeue_now(message.receipt)
        if self._buffer:
            self.hub.call_later(BUFFER_SECONDS, self._requeue_overdue)

    def _is_ending(self) -> bool:
        return self._is_closed() or self._transport.is_stopping()

    def _deliver_one(self, message: HeldMessage, callback: Callable[[Any], Any]) -> None:
        try:
            callback(self._transport.reader.payload(message))
        except Exception as error:
            # One message must not end the worker. Celery settles its own failures before they
            # get here, so this message is foreign or damaged, or a signal handler has a defect.
            if not isinstance(error, UnreadableMessage):
                logger.exception("cannot deliver a message of %s", message.queue)
                error = UnreadableMessage(f"{type(error).__name__}: {error}")
            self._set_aside(message, error)

    def _set_aside(self, message: HeldMessage, error: UnreadableMessage) -> None:
        """It takes no slot and is no sign of an outage."""
        if message.queue not in self._transport.no_ack_queues:
            self.abandon(message.receipt)
            self._transport.reader.set_aside(message, error)

    # Acknowledgements, in the event loop

    def acknowledge(self, receipt: str) -> None:
        self._breaker.finished()
        self.release(receipt)
        self.deliveries.acknowledge(receipt)
        self._on_slot_free()

    def reject(self, receipt: str, *, requeue: bool) -> None:
        """Back to the queue after a growing delay, or to its dead-letter queue."""
        if requeue:
            self._breaker.failed()  # before its slot is free: the receiver looks at both
            for later in self._buffer.after(receipt):  # of its message group, to keep the order
                self.requeue_now(later.receipt)
        self.release(receipt)
        self.deliveries.reject(receipt, requeue=requeue)
        self._on_slot_free()

    def requeue_now(self, receipt: str) -> None:
        """Makes a held message visible at once."""
        self.release(receipt)
        self.deliveries.requeue_now(receipt)

    def abandon(self, receipt: str) -> None:
        """Stops holding a message without a word to SQS."""
        self.release(receipt)
        self.deliveries.pop(receipt)
        self._on_slot_free()

    def requeue_all_except(self, running: set[str]) -> int:
        """Makes every held message visible at once but those ``running``; returns how many."""
        others = [each.receipt for each in self.deliveries.held() if each.receipt not in running]
        for receipt in others:
            self.requeue_now(receipt)
        return len(others)

    def release(self, receipt: str) -> None:
        """Frees the slot of a held message."""
        message = self.deliveries.find(receipt)
        if (
            message is not None
            and message.queue in self._receivers
            and not self._buffer.remove(receipt)
        ):
            self._buffer.finish(receipt)

    def _on_slot_free(self) -> None:
        if self._buffer:
            self.hub.call_soon(self._start_buffered)
            self.hub.call_later(TURN_SECONDS, noop)


def noop() -> None:
    """The event loop shall only take another turn."""
