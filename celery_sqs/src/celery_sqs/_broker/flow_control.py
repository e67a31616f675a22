"""How many messages a channel may hold, and which of its queues is asked for the next ones.

Receivers reserve slots before they poll, so what a poll brings can start. Two cases differ:

* A queue whose last poll brought messages is polled with slots reserved for it alone; briefly when
  there are other queues, for they wait meanwhile. When several queues want slots they take turns,
  or the first of ``-Q`` goes first (``priority``).
* A queue that was empty is polled without a reservation, or an idle queue would keep a slot from
  busy ones for the length of its poll. When its poll brings a message and the slots are taken by
  then, the message waits for the next free slot, before any queue is asked again.

While tasks take only milliseconds a single queue is asked for a few more than there are slots, as
many as will start within :data:`PREFETCH_SECONDS`: otherwise most of the time and of the calls
would go into receiving.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

MAX_MESSAGES = 10
"""Messages in one ReceiveMessage.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""
PREFETCH_SECONDS = 0.05
"""Seconds within which a message must start to be received ahead of a free slot, judged by the
longest of the last tasks. Tasks that take longer than this, times the slots, never are."""


class Reservation(NamedTuple):
    """What one poll may bring."""

    slots: int
    """Reserved for it alone."""
    messages: int
    """To ask for; 0: do not poll."""
    brief: bool = False
    """Other queues wait for these slots: the poll must be short."""


NOTHING = Reservation(0, 0)


class FlowControl:
    """The slots of one channel. Thread-safe; capacity 0 means no limit."""

    def __init__(
        self, *, by_priority: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` gives seconds; it measures how long tasks take."""
        self._clock = clock
        self._by_priority = by_priority
        self._changed = threading.Condition()
        self._capacity = 0
        self._started_at: deque[float] = deque()
        self._admitted = 0
        """Messages that were received and have not started."""
        self._reserved = 0
        self._queues: list[str] = []
        """Queues that have receivers, in order of ``-Q``."""
        self._waiting: list[str] = []
        """Queues whose receivers wait for a slot, the longest first."""
        self._longest = 0.0
        """Seconds from start to finish of the longest task lately: one long task counts at once
        and is forgotten slowly."""

    def resize(self, capacity: int) -> None:
        with self._changed:
            self._capacity = capacity
            self._changed.notify_all()

    def join(self, queue: str) -> None:
        """A queue gets a receiver."""
        with self._changed:
            if queue not in self._queues:
                self._queues.append(queue)

    def leave(self, queue: str) -> None:
        with self._changed:
            if queue in self._queues:
                self._queues.remove(queue)
            self._changed.notify_all()

    def reserve(
        self, queue: str, *, idle: bool, timeout: float, unless: Callable[[], bool]
    ) -> Reservation:
        """Waits until a queue may be polled.

        ``idle``: its last poll was empty; nothing is reserved then.
        :data:`NOTHING` when time is up or ``unless`` turned true.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._waiting.append(queue)
            try:
                while not unless():
                    if self._free() and self._is_next(queue):
                        return self._reserve(idle)
                    remaining = deadline - time.monotonic()
                    if remaining <= 0 or not self._changed.wait(remaining):
                        break
                return NOTHING
            finally:
                self._waiting.remove(queue)
                self._changed.notify_all()

    def admit(self, received: int, reservation: Reservation) -> None:
        """A poll ended: its messages take the slots reserved for it, the others are free again."""
        with self._changed:
            self._reserved -= reservation.slots
            self._admitted += received
            self._changed.notify_all()

    def start(self) -> bool:
        """Whether one of the messages that were admitted may start now; it then has."""
        with self._changed:
            if self._capacity and len(self._started_at) >= self._capacity:
                return False
            self._started_at.append(self._clock())
            self._admitted -= 1
            return True

    def finish(self) -> None:
        """One that had started has ended."""
        with self._changed:
            if self._started_at:
                took = self._clock() - self._started_at.popleft()
                self._longest = max(took, self._longest + (took - self._longest) / 8)
            self._changed.notify_all()

    def cancel(self, messages: int = 1) -> None:
        """Takes back admitted messages that will not be started."""
        with self._changed:
            self._admitted -= messages
            self._changed.notify_all()

    @property
    def free(self) -> int:
        with self._changed:
            return self._free()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # With the condition held

    def _reserve(self, idle: bool) -> Reservation:
        # of the free slots, a share for each queue that waits for some
        share = min(MAX_MESSAGES, -(-self._free() // len(self._waiting)))
        if idle:
            return Reservation(0, share)
        self._reserved += share
        if len(self._queues) > 1:
            return Reservation(share, share, brief=True)
        return Reservation(share, min(MAX_MESSAGES, share + self._prefetch_allowance()))

    def _prefetch_allowance(self) -> int:
        """How many more than there are slots would start within :data:`PREFETCH_SECONDS`."""
        if not self._capacity or not self._longest:
            return 0
        return min(MAX_MESSAGES, int(self._capacity * PREFETCH_SECONDS / self._longest))

    def _free(self) -> int:
        if not self._capacity:
            return MAX_MESSAGES
        taken = len(self._started_at) + self._admitted + self._reserved
        return max(0, self._capacity - taken)

    def _is_next(self, queue: str) -> bool:
        if not self._by_priority:
            return self._waiting[0] == queue
        return min(self._waiting, key=self._rank) == queue

    def _rank(self, queue: str) -> int:
        return self._queues.index(queue) if queue in self._queues else len(self._queues)
