"""The kombu channel: what it publishes, consumes and acknowledges is done by others.

Publishing is :mod:`.declaring` and :mod:`.publishing`, consuming in a worker :mod:`.consuming`,
acknowledging :mod:`.deliveries`. A message is received by a thread in a worker (:mod:`.receiver`)
or by the caller elsewhere, held (:mod:`.held_messages`), handed to kombu as it was before it was
sent (:mod:`.codec`), and acknowledged in the end (:mod:`.acknowledgements`).
"""

import math
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.transport import virtual

from celery_sqs._aws.client import CallFailed, is_no_such_queue
from celery_sqs._broker.auto_delete import is_reply
from celery_sqs._broker.consuming import WorkerConsumer
from celery_sqs._broker.declaring import DeclaringChannel
from celery_sqs._broker.flow_control import MAX_MESSAGES
from celery_sqs._broker.held_messages import HeldMessage
from celery_sqs._broker.translation import translate_errors
from celery_sqs.errors import BrokerUnavailable, UnreadableMessage

if TYPE_CHECKING:
    from celery_sqs._broker.transport import Transport


class Channel(DeclaringChannel):
    """One channel: consuming and acknowledging."""

    hub: Any
    do_restore = False  # close() requeues what is held, all in one

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._worker = WorkerConsumer(
            connection, self.hub, self._new_queue, lambda: bool(self.closed)
        )
        self._deliveries = self._worker.deliveries
        self._drain_timeout: float | None = None
        """Seconds the caller of ``drain_events`` wants to wait."""

    @property
    def _noack_queues(self) -> set[str]:
        return self._transport.no_ack_queues

    # Consuming in a worker

    def use_event_loop(self, hub: Any) -> None:
        """Consumes from now on through this event loop, what was begun before included."""
        if self.hub is hub:
            return
        self.hub = hub
        self._worker.hub = hub
        for queue in self._active_queues:
            hub.call_soon(self._schedule_queue, queue)

    def _schedule_queue(self, queue: str) -> None:
        """Called by kombu from the event loop for a new consumer.

        The loop keeps its calls in a set, so they come in any order; that of ``-Q`` counts.
        """
        if queue in self._active_queues:
            for each in self._active_queues:
                self._worker.start(each)

    def basic_qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False
    ) -> None:
        super().basic_qos(prefetch_size, prefetch_count, apply_global)
        self._worker.flow.resize(prefetch_count)

    def basic_cancel(self, consumer_tag: str) -> None:
        queue = self._tag_to_queue.get(consumer_tag)
        no_ack = queue in self._noack_queues
        super().basic_cancel(consumer_tag)
        if queue is None or queue in self._active_queues:
            return
        if self._worker.stop(queue):
            if no_ack:
                self._noack_queues.add(queue)  # what its open poll brings needs no ack either
        elif queue in self._transport.auto_delete:
            self._transport.auto_delete.delete(queue)

    # Consuming in a process without an event loop

    def drain_events(self, timeout: float | None = None, callback: Any = None, **_: Any) -> None:
        self._drain_timeout = timeout
        super().drain_events(timeout=timeout, callback=callback)

    def _get_bulk(
        self, queue: str, max_if_unlimited: int = MAX_MESSAGES, callback: Any = None
    ) -> None:
        payloads = self._receive_now(queue, self._get_message_estimate())
        if is_reply(queue):
            replies = self._transport.session.reply_queue_pool
            payloads = [each for each in payloads if replies.matches_ticket(each)]
        if not payloads:
            raise Empty
        for payload in payloads:
            self._transport._deliver(payload, queue)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        payloads = self._receive_now(queue, 1)
        if not payloads:
            raise Empty
        return payloads[0]

    def _receive_now(self, queue: str, at_most: int) -> list[dict[str, Any]]:
        """kombu's payloads of what is there; what cannot be read is set aside."""
        try:
            with translate_errors():
                url = self._new_queue(queue)
                reader = self._transport.reader
                messages = reader.receive(queue, url, at_most, self._wait_seconds(queue))
        except CallFailed as error:
            if is_reply(queue) and is_no_such_queue(error):
                raise BrokerUnavailable("the reply queue was deleted; ask again") from error
            raise
        return [payload for each in messages if (payload := self._read(each)) is not None]

    def _read(self, message: HeldMessage) -> dict[str, Any] | None:
        if message.queue not in self._noack_queues:
            self._deliveries.start()
            self._deliveries.add(message)
        try:
            return self._transport.reader.payload(message)
        except UnreadableMessage as error:
            self._deliveries.pop(message.receipt)
            self._transport.reader.set_aside(message, error)
            return None

    def _wait_seconds(self, queue: str) -> int:
        """Of the long poll: replies are awaited as long as the caller says, events always."""
        longest = self._transport.options.wait_time_seconds
        if self._drain_timeout is None or not is_reply(queue):
            return longest
        return min(longest, max(1, math.ceil(self._drain_timeout)))

    # Acknowledging

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        virtual.Channel.basic_ack(self, delivery_tag)  # kombu's own books
        self._worker.acknowledge(delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        virtual.Channel.basic_ack(self, delivery_tag)
        self._worker.reject(delivery_tag, requeue=requeue)

    def _restore(self, message: Any, **_: Any) -> None:
        self._worker.requeue_now(message.delivery_tag)

    def requeue_all_except(self, running: set[str]) -> int:
        """Makes every held message visible at once but those ``running``; returns how many."""
        returned = self._worker.requeue_all_except(running)
        for receipt in set(self.qos._delivered) - running:
            virtual.Channel.basic_ack(self, receipt)
        return returned

    def is_lost(self, delivery_tag: str) -> bool:
        """Whether another worker can receive this message: then it must not be run here."""
        return self._deliveries.is_lost(delivery_tag)

    def abandon(self, delivery_tag: str) -> None:
        """Stops holding a message that is lost; nothing becomes of it here."""
        virtual.Channel.basic_ack(self, delivery_tag)
        self._worker.abandon(delivery_tag)

    def dead_letter(self, delivery_tag: str) -> None:
        """The message is no task; that says nothing about AWS."""
        self.basic_reject(delivery_tag, requeue=False)

    # Ending

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._deliveries.close()
            self._worker.requeue_all_except(set())
