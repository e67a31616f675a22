"""The messages this process holds, and the thread that keeps them invisible while it does.

SQS delivers a message again when its visibility timeout ends. It is extended at a third of the
timeout for as long as the message is held, up to a bound: a worker that hangs must not keep a task
for ever, and AWS allows 12 hours from the receive.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from celery.utils.log import get_logger

from celery_sqs import _runtime
from celery_sqs._aws.batching import split
from celery_sqs.options import MAX_VISIBILITY

logger = get_logger(__name__)

PARALLEL_CALLS = 16
"""Extensions under way at a time, ten messages each."""

Extend = Callable[[str, Sequence[str], int], Mapping[int, bool]]
"""Extends up to ten messages of a queue URL, given by receipt handle, by seconds; returns those
that failed, by index, and whether they may pass another time."""


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
    max_receives: int | None = None
    """Of its queue; a message received more often goes to the dead-letter queue."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Its message attributes, as they were received."""
    group: str | None = None
    """Its message group, on a FIFO queue."""
    message_id: str = ""
    text: str | None = None
    """What ``body`` stands for, if that is kept in S3."""
    sent: float = 0.0
    """Unix seconds of AWS's clock when it was sent."""
    since: float = field(default_factory=time.monotonic)

    @property
    def fifo_group(self) -> tuple[str, str] | None:
        """Its queue and message group, whose order is kept; None on a standard queue."""
        is_fifo = self.url.endswith(".fifo") and self.group is not None
        return (self.url, str(self.group)) if is_fifo else None

    @property
    def may_be_received_again(self) -> bool:
        """Whether a requeued copy could still run before it counts as dead."""
        return self.max_receives is None or self.receives + 1 < self.max_receives


class VisibilityExtender:
    """Registry of what is held; thread-safe."""

    def __init__(self, extend: Extend, timeout: int, longest: int) -> None:
        self._extend = extend
        self._timeout = timeout
        self._longest = min(longest, MAX_VISIBILITY - timeout)
        self._held: dict[str, HeldMessage] = {}
        self._ending: dict[str, HeldMessage] = {}
        self._visible_at: dict[str, float] = {}
        """When each becomes visible to others unless it is extended; monotonic seconds."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, message: HeldMessage) -> None:
        with self._lock:
            self._held[message.receipt] = message
            self._visible_at[message.receipt] = message.since + self._timeout

    def pop(self, receipt: str) -> HeldMessage | None:
        with self._lock:
            self._visible_at.pop(receipt, None)
            return self._held.pop(receipt, None) or self._ending.pop(receipt, None)

    def end(self, receipt: str) -> HeldMessage | None:
        """The message is not held any more, but its result is still being sent: goes on extending.

        Until :meth:`pop`.
        """
        with self._lock:
            message = self._held.pop(receipt, None)
            if message is not None:
                self._ending[receipt] = message
            return message

    def find(self, receipt: str) -> HeldMessage | None:
        return self._held.get(receipt)

    def held(self) -> list[HeldMessage]:
        with self._lock:
            return list(self._held.values())

    def is_lost(self, receipt: str) -> bool:
        """Whether others can receive a held message, which was not extended: it may not run."""
        return time.monotonic() > self._visible_at.get(receipt, float("inf"))

    def start(self) -> None:
        """Begins to extend; a second call does nothing."""
        if self._thread is None:
            self._thread = _runtime.start_thread(self._run, "sqs-visibility")

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        period = self._timeout / 3
        with ThreadPoolExecutor(PARALLEL_CALLS, "sqs-visibility-call") as calls:
            while not self._closed.wait(period):
                began = time.monotonic()
                batches = [
                    (url, batch)
                    for url, messages in self._due(began).items()
                    for batch in split(messages)
                ]
                try:
                    list(calls.map(lambda each: self._extend_batch(*each), batches))
                except RuntimeError:  # the interpreter ends
                    return
                took = time.monotonic() - began
                if took > period:
                    logger.error(
                        "extending %d batches of messages took %.1f s, more than the %.1f s there "
                        "are: hold fewer messages or raise visibility_timeout",
                        len(batches), took, period,
                    )  # fmt: skip

    def _extend_batch(self, url: str, batch: Sequence[HeldMessage]) -> None:
        """One call; a batch that fails harms no other."""
        began = time.monotonic()
        receipts = [message.receipt for message in batch]
        try:
            failed = self._extend(url, receipts, self._timeout)
        except Exception as error:  # noqa: BLE001 - must survive whatever AWS does; next round tries again
            logger.warning("cannot extend %d messages: %r", len(batch), error)
            return
        with self._lock:
            for index, message in enumerate(batch):
                if message.receipt in self._visible_at:
                    self._note(message, began, failed.get(index))

    def _note(self, message: HeldMessage, began: float, may_pass: bool | None) -> None:
        if may_pass is None:
            self._visible_at[message.receipt] = began + self._timeout
        elif not may_pass and self._visible_at[message.receipt] > 0:
            self._visible_at[message.receipt] = 0.0
            logger.error("a message of %s was held too long: others have it", message.queue)

    def _due(self, now: float) -> dict[str, list[HeldMessage]]:
        """What is to be extended, by queue URL."""
        due: dict[str, list[HeldMessage]] = {}
        with self._lock:
            for message in (*self._held.values(), *self._ending.values()):
                visible_at = self._visible_at.get(message.receipt, 0.0)
                if now - message.since < self._longest:
                    if visible_at > 0:
                        due.setdefault(message.url, []).append(message)
                elif visible_at > now + self._timeout / 3:
                    logger.error(
                        "a message of %s is held for %d s and extended no further; it will run "
                        "again",
                        message.queue, self._longest,
                    )  # fmt: skip
        return due
