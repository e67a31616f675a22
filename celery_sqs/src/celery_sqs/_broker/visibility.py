"""The messages this process holds, and the thread that keeps them invisible while it does.

SQS hands a message to somebody else when its visibility timeout ends. A held is extended at a
third of the timeout for as long as the message is held, up to a bound: a worker that hangs must not
keep a task for ever, and AWS allows 12 hours from the receive.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from celery.utils.log import get_logger

from celery_sqs.options import LONGEST_VISIBILITY

logger = get_logger(__name__)


@dataclass(frozen=True)
class HeldMessage:
    """One delivery of a message. ``receipt`` names it and is kombu's delivery tag."""

    queue: str
    """kombu's name of the queue."""
    url: str
    receipt: str
    body: str
    receives: int
    """Deliveries of this message so far, this one included."""
    since: float = field(default_factory=time.monotonic)


class VisibilityExtender:
    """Registry of what is held; thread-safe. ``extend`` is called with batches of one queue URL."""

    def __init__(
        self, extend: Callable[[str, list[str], int], None], timeout: int, longest: int
    ) -> None:
        self._extend = extend
        self._timeout = timeout
        self._longest = min(longest, LONGEST_VISIBILITY - timeout)
        self._held: dict[str, HeldMessage] = {}
        self._ending: dict[str, HeldMessage] = {}
        self._expired: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, held: HeldMessage) -> None:
        with self._lock:
            self._held[held.receipt] = held

    def pop(self, receipt: str) -> HeldMessage | None:
        with self._lock:
            self._expired.discard(receipt)
            return self._held.pop(receipt, None) or self._ending.pop(receipt, None)

    def end(self, receipt: str) -> HeldMessage | None:
        """The message is not held any more, but its answer is still on its way: goes on extending.

        Until :meth:`pop`.
        """
        with self._lock:
            held = self._held.pop(receipt, None)
            if held is not None:
                self._ending[receipt] = held
            return held

    def held(self) -> list[HeldMessage]:
        with self._lock:
            return list(self._held.values())

    def start(self) -> None:
        """Begins to extend; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sqs-messages", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(self._timeout / 3):
            for url, receipts in _by_url(self._due(time.monotonic())).items():
                try:
                    self._extend(url, receipts, self._timeout)
                except Exception as error:  # noqa: BLE001 - must survive whatever AWS does; next round tries again
                    logger.warning("cannot extend %d messages: %r", len(receipts), error)

    def _due(self, now: float) -> list[HeldMessage]:
        due = []
        with self._lock:
            messages = [*self._held.values(), *self._ending.values()]
        for held in messages:
            if now - held.since < self._longest:
                due.append(held)
            elif held.receipt not in self._expired:
                self._expired.add(held.receipt)
                logger.error(
                    "a message of %s is held for %d s and extended no further; it will run again",
                    held.queue, self._longest,
                )  # fmt: skip
        return due


def _by_url(messages: Iterable[HeldMessage]) -> dict[str, list[str]]:
    receipts: dict[str, list[str]] = {}
    for held in messages:
        receipts.setdefault(held.url, []).append(held.receipt)
    return receipts
