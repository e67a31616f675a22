"""Messages received ahead of a free slot, while tasks take but milliseconds.

With a prefetch limit of two, a receive brings two messages; if their tasks are over before the next
receive is, most of the time and of the calls goes into receiving. So a few more are asked for, as
many as will start within :data:`.receiver.AHEAD` seconds, judged by the longest of the last tasks.
They wait here, unknown to Celery and its limit, and start one by one as slots become free. When it
takes longer than thought, they go back to the queue, where an idle worker finds them.
"""

import time
from collections import deque
from collections.abc import Callable

from celery_sqs._broker.receiver import FlowControl
from celery_sqs._broker.visibility import HeldMessage

PATIENCE = 0.5
"""Seconds a message may wait here: ten times what was thought."""


class PrefetchBuffer:
    """Of one channel; to be used from its event loop alone."""

    def __init__(self, flow: FlowControl) -> None:
        self._flow = flow
        self._waiting: deque[tuple[float, HeldMessage]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, held: HeldMessage) -> None:
        """Waits for a slot, in the order of coming."""
        self._waiting.append((time.monotonic(), held))

    def next(self) -> HeldMessage | None:
        """The first, if there is a slot for it; it then has it."""
        if self._waiting and self._flow.start():
            return self._waiting.popleft()[1]
        return None

    def leave(self, receipt: str) -> bool:
        """Takes one out that will not start here; false if it does not wait."""
        for each in self._waiting:
            if each[1].receipt == receipt:
                self._waiting.remove(each)
                return True
        return False

    def overdue(self, now: float) -> list[HeldMessage]:
        """Those that have waited too long, by the monotonic clock."""
        return [held for since, held in self._waiting if now - since >= PATIENCE]

    def clear(self, give_back: Callable[[HeldMessage], None]) -> None:
        """Gives back everybody."""
        for _, held in tuple(self._waiting):
            give_back(held)
