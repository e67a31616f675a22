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

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: HeldMessage) -> None:
        """Waits for a slot, in order of arrival."""
        self._waiting.append((time.monotonic(), message))

    def next(self) -> HeldMessage | None:
        """The first, if there is a slot for it; it then has it."""
        if self._waiting and self._flow.start():
            return self._waiting.popleft()[1]
        return None

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
            if now - since >= BUFFER_SECONDS and message.may_be_received_again
        ]

    def messages(self) -> list[HeldMessage]:
        return [message for _, message in self._waiting]
