"""One thread per queue: long poll, back off, never die, hand over.

Stock kombu polls from the worker's event loop, where one throttled or dropped poll ends or freezes
the worker. Here a poll may fail in any way; it costs a pause and a line in the log.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from celery.utils.log import get_logger

from celery_sqs._worker.circuit_breaker import CircuitBreaker

logger = get_logger(__name__)

MAX_MESSAGES = 10
"""Messages in one ReceiveMessage.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
"""Seconds between polls while they fail."""
GATHER_SHARE, GATHER_MOST = 1.0, 0.01
"""While a queue has more than we may hold: share of the time a message is held, and seconds, that a
free slot waits for the others to become free, so that one call fills them all. Slots that are
filled together become free together, so they need not wait for long."""
AHEAD = 0.05
"""Seconds within which a message must start to be received ahead of a free slot (:mod:`.prefetch`).
Tasks that take longer than this, times the slots, are never received ahead."""
HEAD_START = 0.005
"""Seconds before the next poll after one that brought a single message, when nothing more is known
to wait or will not wait long: a short task is then started, ended and answered first. Only one
thread of a process can prepare a call at a time, and the poll would slow all of it."""
IDLE_TICK = 5.0
"""Seconds a receiver without a free slot waits before it looks whether it was told to stop."""

Raw = dict[str, Any]
"""A message as boto3's ReceiveMessage gives it, with ``QueueUrl`` added."""


class FlowControl:
    """How many messages a channel may still hold. Thread-safe; capacity 0 means no limit.

    What is received ahead occupies no slot of its own until it starts, but no free slot is reported
    before: ``held`` may exceed the capacity.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._capacity = 0
        self._held = 0
        self._started_at: deque[float] = deque()
        self._hold = 0.0
        """Seconds from start to release, on average."""
        self._longest = 0.0
        """The same, of the longest lately: one long task counts at once and is forgotten slowly."""

    def resize(self, capacity: int) -> None:
        with self._changed:
            self._capacity = capacity
            self._changed.notify_all()

    def take(self, wanted: int, ahead: int = 0) -> int:
        """Occupies up to ``wanted`` slots, ``ahead`` of them beyond the free ones; how many."""
        with self._changed:
            taken = min(wanted, self._free() + ahead)
            self._held += taken
            return taken

    def start(self) -> bool:
        """Whether one that was taken may start now; it then has."""
        with self._changed:
            if self._capacity and len(self._started_at) >= self._capacity:
                return False
            self._started_at.append(time.monotonic())
            return True

    def release(self, slots: int = 1) -> None:
        """So many that had started have ended."""
        with self._changed:
            self._held -= slots
            for _ in range(min(slots, len(self._started_at))):
                held = time.monotonic() - self._started_at.popleft()
                self._hold += (held - self._hold) / 4
                self._longest = max(held, self._longest + (held - self._longest) / 8)
            self._changed.notify_all()

    def leave(self) -> None:
        """One that was taken goes without having started."""
        with self._changed:
            self._held -= 1
            self._changed.notify_all()

    def ahead(self) -> int:
        """How many more than there are slots would start within :data:`AHEAD` seconds."""
        with self._changed:
            if not self._capacity or not self._longest:
                return 0
            return min(MAX_MESSAGES, int(self._capacity * AHEAD / self._longest))

    def wait_free(self, timeout: float, unless: Callable[[], bool]) -> int:
        """Free slots as soon as there are any; 0 when time is up or ``unless`` turned true."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._free() and not unless():
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    return 0
            return 0 if unless() else self._free()

    def gather(self) -> int:
        """Free slots once all are free, or after a small share of the time a message is held."""
        with self._changed:
            patience = min(GATHER_MOST, GATHER_SHARE * self._hold)
            self._changed.wait_for(lambda: self._held <= 0, patience)
            return self._free()

    @property
    def free(self) -> int:
        with self._changed:
            return self._free()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _free(self) -> int:
        return MAX_MESSAGES if not self._capacity else max(0, self._capacity - self._held)


class Source(Protocol):
    """What a receiver needs of its channel. Called from the receiver's thread."""

    def poll(self, queue: str, at_most: int) -> Sequence[Raw]:
        """One ReceiveMessage; may raise anything."""

    def hand_over(self, queue: str, messages: Sequence[Raw]) -> None:
        """Takes messages that have slots in the flow; makes no call and raises nothing."""

    def give_back(self, messages: Sequence[Raw]) -> None:
        """Makes messages visible again that nobody here will take."""


@dataclass
class ConsumerHealth:
    """What a watchdog and an operator want to know of a receiver. Times are monotonic seconds."""

    last_poll: float
    """When a poll last ended, well or badly, or the flow was last full."""
    failures: int = 0
    """Polls that failed since the last good one."""
    received: int = 0


class Receiver(threading.Thread):
    """Receives from one queue until it is told to stop; an open poll is then still awaited."""

    def __init__(
        self, queue: str, source: Source, flow: FlowControl, breaker: CircuitBreaker
    ) -> None:
        super().__init__(name=f"sqs-receiver-{queue}", daemon=True)
        self.queue = queue
        self.health = ConsumerHealth(last_poll=time.monotonic())
        self._source = source
        self._flow = flow
        self._breaker = breaker
        self._stopped = threading.Event()
        self._backlog = False
        """The last poll brought as many messages as were asked for."""
        self._alone = False
        """It brought one."""

    def stop(self) -> None:
        """Asks for no further poll. What the open one still brings is given back."""
        self._stopped.set()
        self._flow.wake()
        self._breaker.wake()

    @property
    def stopping(self) -> bool:
        return self._stopped.is_set()

    @property
    def has_capacity(self) -> bool:
        """There are free slots, so a poll should be open or have ended a moment ago."""
        return self.is_alive() and not self.stopping and self._flow.free > 0

    def run(self) -> None:
        while not self.stopping:
            free, ahead = self._flow.wait_free(IDLE_TICK, unless=self._stopped.is_set), 0
            if free and self._backlog:
                ahead = self._flow.ahead()
                free = free if ahead else self._flow.gather()
            if free and self._alone and (ahead or not self._backlog):
                self._stopped.wait(HEAD_START)
            self.health.last_poll = time.monotonic()
            if free:
                wanted = min(free + ahead, MAX_MESSAGES)
                admitted = self._breaker.admit(wanted, unless=self._stopped.is_set)
                self.health.last_poll = time.monotonic()
                if admitted:
                    self._receive(admitted, ahead)

    def _receive(self, at_most: int, ahead: int) -> None:
        try:
            messages = self._source.poll(self.queue, at_most)
            self._take(messages, ahead)
        except Exception as error:  # noqa: BLE001 - no failure of AWS or the network may end this thread
            self.health.failures += 1
            pause = _pause(self.health.failures)
            logger.warning(
                "receiving from %s failed (%d in a row), again in %.1f s: %r",
                self.queue, self.health.failures, pause, error,
            )  # fmt: skip
            self._stopped.wait(pause)
        else:
            self.health.failures = 0
            self.health.received += len(messages)
            self._backlog = len(messages) == at_most
            self._alone = len(messages) == 1
        self.health.last_poll = time.monotonic()

    def _take(self, messages: Sequence[Raw], ahead: int) -> None:
        taken = 0 if self.stopping else self._flow.take(len(messages), ahead)
        if messages[:taken]:
            self._source.hand_over(self.queue, messages[:taken])
        if messages[taken:]:
            self._source.give_back(messages[taken:])


def _pause(failures: int) -> float:
    """Doubling, with up to a quarter more so that a fleet does not come back as one."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
    return longest * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, not a secret
