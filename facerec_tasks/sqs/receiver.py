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

from facerec_tasks.sqs.breaker import Breaker

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
IDLE_TICK = 5.0
"""Seconds a receiver without a free slot waits before it looks whether it was told to stop."""

Raw = dict[str, Any]
"""A message as boto3's ReceiveMessage gives it, with ``QueueUrl`` added."""


class Window:
    """How many messages a channel may still hold. Thread-safe; capacity 0 means no limit."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._capacity = 0
        self._held = 0
        self._taken_at: deque[float] = deque()
        self._hold = 0.0

    def resize(self, capacity: int) -> None:
        with self._changed:
            self._capacity = capacity
            self._changed.notify_all()

    def take(self, wanted: int) -> int:
        """Occupies up to ``wanted`` slots; returns how many."""
        with self._changed:
            taken = min(wanted, self._free())
            self._held += taken
            self._taken_at.extend([time.monotonic()] * taken)
            return taken

    def release(self, slots: int = 1) -> None:
        with self._changed:
            self._held -= slots
            for _ in range(min(slots, len(self._taken_at))):
                self._hold += (time.monotonic() - self._taken_at.popleft() - self._hold) / 4
            self._changed.notify_all()

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
        """Takes messages that have slots in the window; makes no call and raises nothing."""

    def give_back(self, messages: Sequence[Raw]) -> None:
        """Makes messages visible again that nobody here will take."""


@dataclass
class Health:
    """What a watchdog and an operator want to know of a receiver. Times are monotonic seconds."""

    last_poll: float
    """When a poll last ended, well or badly, or the window was last full."""
    failures: int = 0
    """Polls that failed since the last good one."""
    received: int = 0


class Receiver(threading.Thread):
    """Receives from one queue until it is told to stop; an open poll is then still awaited."""

    def __init__(self, queue: str, source: Source, window: Window, breaker: Breaker) -> None:
        super().__init__(name=f"sqs-receiver-{queue}", daemon=True)
        self.queue = queue
        self.health = Health(last_poll=time.monotonic())
        self._source = source
        self._window = window
        self._breaker = breaker
        self._stopped = threading.Event()
        self._backlog = False

    def stop(self) -> None:
        """Asks for no further poll. What the open one still brings is given back."""
        self._stopped.set()
        self._window.wake()
        self._breaker.wake()

    @property
    def stopping(self) -> bool:
        return self._stopped.is_set()

    @property
    def starving(self) -> bool:
        """There are free slots, so a poll should be open or have ended a moment ago."""
        return self.is_alive() and not self.stopping and self._window.free > 0

    def run(self) -> None:
        while not self.stopping:
            free = self._window.wait_free(IDLE_TICK, unless=self._stopped.is_set)
            if free and self._backlog:
                free = self._window.gather()
            self.health.last_poll = time.monotonic()
            if free:
                free = self._breaker.admit(min(free, MAX_MESSAGES), unless=self._stopped.is_set)
                self.health.last_poll = time.monotonic()
            if free:
                self._receive(free)

    def _receive(self, at_most: int) -> None:
        try:
            messages = self._source.poll(self.queue, at_most)
            self._take(messages)
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
        self.health.last_poll = time.monotonic()

    def _take(self, messages: Sequence[Raw]) -> None:
        taken = 0 if self.stopping else self._window.take(len(messages))
        if messages[:taken]:
            self._source.hand_over(self.queue, messages[:taken])
        if messages[taken:]:
            self._source.give_back(messages[taken:])


def _pause(failures: int) -> float:
    """Doubling, with up to a quarter more so that a fleet does not come back as one."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
    return longest * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, not a secret
