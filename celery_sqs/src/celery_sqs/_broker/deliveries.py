"""What a channel holds, from its receive to its acknowledgement."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from celery_sqs._broker.held_messages import HeldMessage, VisibilityExtender
from celery_sqs._results.sender import after_result

if TYPE_CHECKING:
    from celery_sqs._broker.transport import Transport

MAX_REQUEUED = 1000
"""Requeued deliveries that are remembered, for tasks that end all the same."""


class Deliveries:
    """The held messages of one channel. Thread-safe as far as :meth:`add` goes."""

    def __init__(self, transport: "Transport") -> None:
        self._transport = transport
        self._acknowledger = transport.acknowledger
        self._extender = VisibilityExtender(
            transport.acknowledger.extend,
            transport.options.visibility_timeout,
            transport.options.max_extension,
        )
        self._requeued: OrderedDict[str, str] = OrderedDict()
        """URLs by receipt."""

    def start(self) -> None:
        """Begins to extend what is held."""
        self._extender.start()

    def close(self) -> None:
        self._extender.close()

    def add(self, message: HeldMessage) -> None:
        self._extender.add(message)

    def find(self, receipt: str) -> HeldMessage | None:
        return self._extender.find(receipt)

    def held(self) -> list[HeldMessage]:
        return self._extender.held()

    def is_lost(self, receipt: str) -> bool:
        """Whether others can receive a held message: then it must not be run here."""
        return self._extender.is_lost(receipt)

    def acknowledge(self, receipt: str) -> None:
        """Deletes the message once the result of its task is on its way."""
        message = self._extender.end(receipt)
        if message is not None:
            after_result(receipt, lambda: self._delete(message))
        elif (url := self._requeued.pop(receipt, None)) is not None:
            self._acknowledger.delete(url, receipt)

    def reject(self, receipt: str, *, requeue: bool) -> None:
        """Back to the queue after a growing delay, or to its dead-letter queue."""
        message = self._extender.end(receipt)
        if message is not None:
            settle = self._requeue if requeue else self._dead_letter
            after_result(receipt, lambda: settle(message))

    def requeue_now(self, receipt: str) -> None:
        """Makes a message visible at once; a task that ends all the same deletes it yet."""
        message = self._extender.pop(receipt)
        if message is not None:
            self._requeued[receipt] = message.url
            while len(self._requeued) > MAX_REQUEUED:
                self._requeued.popitem(last=False)
            self._acknowledger.change_visibility(message.url, receipt)

    def drop(self, receipt: str) -> None:
        """The message is no longer held; the caller sees to what becomes of it."""
        self._extender.pop(receipt)

    def _delete(self, message: HeldMessage) -> None:
        self._extender.pop(message.receipt)
        self._acknowledger.delete(
            message.url, message.receipt, self._transport.large_messages.deletion(message.body)
        )

    def _requeue(self, message: HeldMessage) -> None:
        self._extender.pop(message.receipt)
        delay = self._transport.options.requeue_delay(message.receives)
        self._acknowledger.change_visibility(message.url, message.receipt, delay)

    def _dead_letter(self, message: HeldMessage) -> None:
        self._extender.pop(message.receipt)
        self._acknowledger.dead_letter(message)
