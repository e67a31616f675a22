"""A circuit breaker for launches: boots that fail repeatedly are not the machines' fault."""

import logging
from collections.abc import Collection

from facerec_tasks.backoff import Backoff

logger = logging.getLogger(__name__)

FAILURES = 3
"""Boots in a row that fail before it opens."""
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 600.0


class LaunchBreaker:
    """Closed: as many machines as are wanted. Open: one now and then, until one comes up."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._known: frozenset[str] = frozenset()

    @property
    def open(self) -> bool:
        return self._failures >= FAILURES

    def limit(self, now: float) -> int | None:
        """Machines that may be started in this step; none for no limit."""
        if not self.open:
            return None
        return 1 if self._pause.ready(now) else 0

    def started(self, now: float) -> None:
        """A machine was started; while open, the next one waits longer."""
        if self.open:
            self._pause.failed(now)

    def came_up(self, ready: Collection[str]) -> None:
        """These machines answer; one that is new among them closes the breaker."""
        new = frozenset(ready) - self._known
        self._known = frozenset(ready)
        if new:
            if self.open:
                logger.info("machines come up again: launching as needed")
            self._failures = 0
            self._pause.succeeded()

    def gave_up(self, failed: int, now: float) -> None:
        """Records ``failed`` boots that were given up."""
        if not failed:
            return
        was_open = self.open
        self._failures += failed
        if self.open and not was_open:
            pause = self._pause.failed(now)
            logger.error(
                "ALARM: %d boots in a row have failed; one machine is tried again in %.0f s",
                self._failures,
                pause,
            )
