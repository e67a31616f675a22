"""One thread that reads the state while a status page is open, for all its viewers."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from facerec_tasks.errors import Overloaded

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two pictures."""
LINGER = 10.0
"""Seconds it goes on when nobody watches: who reconnects or polls finds it running."""
MAX_STREAMS = 24
"""Pages that are served at once; each takes a thread of the server. Others ask now and then."""

Look = Callable[[float], dict[str, Any]]


class Sampler:
    """One per process. Its thread lives while somebody watches, and costs nothing otherwise."""

    def __init__(
        self,
        look: Look,
        *,
        every: float = EVERY,
        most: int = MAX_STREAMS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``look`` makes the picture of a moment in Unix seconds; only one thread calls it."""
        self._look = look
        self._every = every
        self._most = most
        self._clock = clock
        self._watchers = 0
        self._wanted_until = float("-inf")
        self._running = False
        self._number = 0
        self._picture = b""
        self._drawn_at = float("-inf")
        self._changed = threading.Condition()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A place among those who are told at once; raises :class:`Overloaded`."""
        with self._changed:
            if self._watchers >= self._most:
                raise Overloaded(int(LINGER / 2))
            self._watchers += 1
            self._want()
        try:
            yield
        finally:
            with self._changed:
                self._watchers -= 1
                self._want()

    def after(self, number: int, timeout: float) -> tuple[int, bytes] | None:
        """The number and the JSON of a picture later than that one; none if there is none in time.

        Number 0 takes the one at hand unless it is stale.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._want()
            while self._number <= number or (number == 0 and self._stale):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return None
            return self._number, self._picture

    @property
    def _stale(self) -> bool:
        return self._clock() - self._drawn_at > 2 * self._every + 1

    def _want(self) -> None:
        """With the lock held."""
        self._wanted_until = time.monotonic() + LINGER
        if not self._running:
            self._running = True
            threading.Thread(target=self._run, name="sampler", daemon=True).start()

    def _run(self) -> None:
        while self._goes_on():
            began = time.monotonic()
            picture = self._draw()
            with self._changed:
                self._picture = picture
                self._number += 1
                self._drawn_at = self._clock()
                self._changed.notify_all()
            time.sleep(max(self._every / 4, self._every - (time.monotonic() - began)))

    def _goes_on(self) -> bool:
        with self._changed:
            self._running = self._watchers > 0 or time.monotonic() < self._wanted_until
            return self._running

    def _draw(self) -> bytes:
        now = time.time()
        try:
            picture = self._look(now)
        except Exception:  # whatever it is, the thread must live and the page must say so
            log.exception("no picture")
            picture = {"at": round(now, 1), "faults": ["No picture could be drawn: see the log."]}
        return json.dumps(picture, separators=(",", ":")).encode()
