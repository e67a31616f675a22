"""Stops a worker from consuming while its tasks fail because of a shared fault.

One task given back may have itself to blame. Several in a row, none finished in between, say that
S3 or the like is away: then nothing is received for a pause that doubles, and after each pause one
message is tried. The first that is finished closes the breaker.
"""

import threading
import time
from collections.abc import Callable

from celery.utils.log import get_logger

logger = get_logger(__name__)

IN_A_ROW = 3
"""Tasks given back, none finished in between, that open the breaker."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0
"""Seconds; the longest is half of what the watchdog allows between two polls."""


class CircuitBreaker:
    """Between a channel, which tells how tasks end, and its receivers, which ask. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._failures = 0
        self._pause = 0.0
        self._next_trial = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the worker consumes no more than a message a pause."""
        return self._failures >= IN_A_ROW

    def failed(self) -> None:
        """A task was given back."""
        with self._changed:
            self._failures += 1
            if not self.is_open:
                return
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
            self._next_trial = time.monotonic() + self._pause
            failures, pause = self._failures, self._pause
        logger.error(
            "unhealthy: %d tasks in a row were given back; the next is tried in %.0f s",
            failures, pause,
        )  # fmt: skip

    def finished(self) -> None:
        """A task was dealt with."""
        with self._changed:
            was_open, self._failures, self._pause = self.is_open, 0, 0.0
            self._changed.notify_all()
        if was_open:
            logger.warning("healthy again: consuming as before")

    def admit(self, wanted: int, unless: Callable[[], bool]) -> int:
        """How many messages may be asked for; while open it waits, then gives leave for one.

        0 when ``unless`` turned true; whoever makes it true calls :meth:`wake`.
        """
        with self._changed:
            while self.is_open and not unless():
                remaining = self._next_trial - time.monotonic()
                if remaining <= 0:
                    self._next_trial = time.monotonic() + self._pause
                    return min(1, wanted)
                self._changed.wait(remaining)
            return 0 if unless() else wanted

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
