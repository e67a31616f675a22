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

from celery_sqs._broker.receiver import Window
from celery_sqs._broker.visibility import Lease

PATIENCE = 0.5
"""Seconds a message may wait here: ten times what was thought."""


class Anteroom:
    """Of one channel; to be used from its event loop alone."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._waiting: deque[tuple[float, Lease]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, lease: Lease) -> None:
        """Waits for a slot, in the order of coming."""
        self._waiting.append((time.monotonic(), lease))

    def next(self) -> Lease | None:
        """The first, if there is a slot for it; it then has it."""
        if self._waiting and self._window.start():
            return self._waiting.popleft()[1]
        return None

    def leave(self, receipt: str) -> bool:
        """Takes one out that will not start here; false if it does not wait."""
        for each in self._waiting:
            if each[1].receipt == receipt:
                self._waiting.remove(each)
                return True
        return False

    def overdue(self, now: float) -> list[Lease]:
        """Those that have waited too long, by the monotonic clock."""
        return [lease for since, lease in self._waiting if now - since >= PATIENCE]

    def clear(self, give_back: Callable[[Lease], None]) -> None:
        """Gives back everybody."""
        for _, lease in tuple(self._waiting):
            give_back(lease)
