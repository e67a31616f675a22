"""Messages of one channel that were received and wait for a slot, unknown to Celery.

They are few: what was received ahead while tasks take only milliseconds, and what the poll of an
idle queue brought when the slots were taken meanwhile. They start in order as slots become free.
One that waits too long goes back to its queue, where an idle worker finds it, unless another
receive would bring it to the dead-letter queue.
"""

import time
from collections import deque

from celery_sqs._broker.flow_control import FlowControl
from celery_sqs._broker.held_messages import HeldMessage

BUFFER_SECONDS = 0.5
"""A message may wait here: ten times what was thought."""


class PrefetchBuffer:
    """Of one channel; to be used from its event loop alone."""

    def __init__(self, flow: FlowControl) -> None:
        self._flow = flow
        self._waiting: deque[tuple[float, HeldMessage]] = deque()
        self._running: dict[str, tuple[str, str]] = {}
        """Message groups of FIFO queues that have a message running, by its receipt."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: HeldMessage) -> None:
        """Waits for a slot, in order of arrival."""
        self._waiting.append((time.monotonic(), message))

    def next(self) -> HeldMessage | None:
        """The first that may start, if there is a slot for it; it then has it.

        Of a message group, one runs at a time.
        """
        for entry in self._waiting:
            message = entry[1]
            if self._is_blocked(message):
                continue
            if not self._flow.start():
                return None
            self._waiting.remove(entry)
            if message.fifo_group is not None:
                self._running[message.receipt] = message.fifo_group
            return message
        return None

    def finish(self, receipt: str) -> None:
        """One that had started has ended."""
        self._running.pop(receipt, None)
        self._flow.finish()

    def remove(self, receipt: str) -> bool:
        """Takes out one that will not start here; false if it does not wait."""
        for each in self._waiting:
            if each[1].receipt == receipt:
                self._waiting.remove(each)
                self._flow.cancel()
                return True
        return False

    def overdue(self, now: float) -> list[HeldMessage]:
        """Those that have waited too long, by the monotonic clock, and may be received again."""
        return [
            message
            for since, message in self._waiting
            if now - since >= BUFFER_SECONDS
            and message.may_be_received_again
            and not self._is_blocked(message)
        ]

    def after(self, receipt: str) -> list[HeldMessage]:
        """Those of the same message group as one that runs."""
        group = self._running.get(receipt)
        return [m for _, m in self._waiting if group is not None and m.fifo_group == group]

    def messages(self) -> list[HeldMessage]:
        return [message for _, message in self._waiting]

    def _is_blocked(self, message: HeldMessage) -> bool:
        return message.fifo_group is not None and message.fifo_group in self._running.values()
