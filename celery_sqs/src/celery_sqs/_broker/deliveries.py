"""The unacknowledged deliveries of a channel."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from celery_sqs._broker.held_messages import HeldMessage, VisibilityExtender
from celery_sqs._results.sender import after_result

if TYPE_CHECKING:
    from celery_sqs._broker.transport import Transport

MAX_REQUEUED = 1000
"""Requeued deliveries that are remembered, for tasks that end all the same."""


class Deliveries(VisibilityExtender):
    """The held messages of one channel. Thread-safe as far as :meth:`add` goes."""

    def __init__(self, transport: "Transport") -> None:
        options = transport.options
        super().__init__(
            transport.acknowledger.extend, options.visibility_timeout, options.max_extension
        )
        self._transport = transport
        self._acknowledger = transport.acknowledger
        self._requeued: OrderedDict[str, str] = OrderedDict()
        """URLs by receipt."""

    def acknowledge(self, receipt: str) -> None:
        """Deletes the message once the result of its task is on its way."""
        message = self.end(receipt)
        if message is not None:
            after_result(receipt, lambda: self._delete(message))
        elif (url := self._requeued.pop(receipt, None)) is not None:
            self._acknowledger.delete(url, receipt)

    def reject(self, receipt: str, *, requeue: bool) -> None:
        """Back to the queue after a growing delay, or to its dead-letter queue."""
        message = self.end(receipt)
        if message is not None:
            settle = self._requeue if requeue else self._dead_letter
            after_result(receipt, lambda: settle(message))

    def requeue_now(self, receipt: str) -> None:
        """Makes a message visible at once; a task that ends all the same deletes it yet."""
        message = self.pop(receipt)
        if message is not None:
            self._requeued[receipt] = message.url
            while len(self._requeued) > MAX_REQUEUED:
                self._requeued.popitem(last=False)
            self._acknowledger.change_visibility(message.url, receipt)

    def _delete(self, message: HeldMessage) -> None:
        self.pop(message.receipt)
        self._acknowledger.delete(
            message.url, message.receipt, self._transport.large_messages.deletion(message.body)
        )

    def _requeue(self, message: HeldMessage) -> None:
        self.pop(message.receipt)
        delay = self._transport.options.requeue_delay(message.receives)
        self._acknowledger.change_visibility(message.url, message.receipt, delay)

    def _dead_letter(self, message: HeldMessage) -> None:
        self.pop(message.receipt)
        self._acknowledger.dead_letter(message)
