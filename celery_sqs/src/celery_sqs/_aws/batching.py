"""Batches of SQS and SNS: what fits into one call, and background batching.

Every batch call takes ten entries and a number of bytes, and answers 200 with failures inside.
:func:`split` and :func:`failed_entries` know that for all of them. :class:`BatchProcessor` gathers
entries and flushes them from a thread; its producers never block.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from celery.utils.log import get_logger

from celery_sqs import _runtime
from celery_sqs._aws.client import CallFailed, is_refusal
from celery_sqs._aws.queues import MAX_BATCH, MAX_BATCH_BYTES

logger = get_logger(__name__)

RETRY_SECONDS = 1.0
"""Until an entry that failed is tried again; it delays no other."""
FLUSH_SECONDS = 10.0
"""A flush takes at most, besides the call that is under way."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Flush = Callable[[K, Sequence[T]], Mapping[int, bool]]
"""One call for entries of one key. Returns those that failed, by their index, and whether they may
pass another time; raises botocore's errors when the call failed as a whole."""


def first_batch(items: Sequence[T], size: Callable[[T], int]) -> list[T]:
    """The first of ``items``, at most ten, as far as they fit into one call; at least one."""
    batch: list[T] = []
    total = 0
    for item in islice(items, MAX_BATCH):
        total += size(item)
        if batch and total > MAX_BATCH_BYTES:
            break
        batch.append(item)
    return batch


def split(items: Sequence[T], size: Callable[[T], int] = lambda _: 0) -> Iterator[list[T]]:
    """All of ``items`` in order, in batches that fit into one call each."""
    start = 0
    while start < len(items):
        batch = first_batch(items[start : start + MAX_BATCH], size)
        yield batch
        start += len(batch)


def failed_entries(response: Mapping[str, Any]) -> dict[int, bool]:
    """Entries that failed, by their index, and whether they may pass another time.

    Ids must be indices. A fault of the sender, such as an outdated receipt, never passes.
    """
    return {
        int(entry["Id"]): not entry.get("SenderFault", False)
        for entry in response.get("Failed", ())
    }


@dataclass(eq=False)
class _Entry(Generic[T]):
    item: T
    size: int
    due: float
    """Monotonic seconds at which it goes, its batch full or not."""
    deadline: float
    """After it an entry that failed is given up."""
    on_done: Callable[[], None] | None = None
    ready: float = 0.0
    """When it may go again, after it failed."""


class BatchProcessor(Generic[K, T]):
    """Queues of entries by key, and the thread that flushes them. Thread-safe.

    Entries of one key share calls. A call is made when ten have gathered or the first of them is
    due; what comes while one is in flight goes with the next. A forked child starts empty: what
    its parent gathered stays the parent's.
    """

    def __init__(self, flush: Flush[K, T], *, name: str, retry_timeout: float) -> None:
        """``retry_timeout``: seconds until an entry that keeps failing is given up."""
        self._call = flush
        self._name = name
        self._retry_timeout = retry_timeout
        self.reset_after_fork()
        _runtime.reset_after_fork(self)

    def reset_after_fork(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[K, list[_Entry[T]]] = {}
        self._in_flight = 0
        self._flushing = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self.flushed = 0
        """Entries AWS has acknowledged."""
        self.failed = 0
        """Entries that were given up."""
        self.calls = 0

    def add(
        self,
        key: K,
        item: T,
        *,
        size: int = 0,
        linger: float = 0.0,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        """Queues an entry, which waits for others ``linger`` seconds at most.

        ``on_done`` is called when the entry was flushed or given up, but not when the process ends
        before that.
        """
        now = time.monotonic()
        entry = _Entry(item, size, now + linger, now + self._retry_timeout, on_done)
        with self._changed:
            waiting = self._queues.setdefault(key, [])
            waiting.append(entry)
            if not self._closed:
                self._ensure_thread()
            if not linger or len(waiting) in (1, MAX_BATCH):
                self._changed.notify_all()
        if self._closed:
            self.flush()

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Flushes all in the caller's thread; false when some of it could not be.

        What is left then stays with the thread, or is dropped when that was closed.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
        try:
            while self._flush_once(deadline):
                pass
        finally:
            with self._changed:
                self._flushing -= 1
                left = sum(map(len, self._queues.values())) + self._in_flight
                if self._closed:
                    self._queues.clear()
        if left:
            logger.warning("%s: %d not flushed in time: tasks may run twice", self._name, left)
        return not left

    def close(self) -> None:
        """Flushes and ends the thread. What comes later is flushed in the caller's thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.flush()

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = _runtime.start_thread(self._run, self._name)

    def _run(self) -> None:
        while True:
            with self._changed:
                while (taken := self._take()) is None:
                    if self._closed:
                        return
                    self._changed.wait(self._pause())
            self._process(*taken)

    def _flush_once(self, deadline: float) -> bool:
        """False when nothing is left to be done, or no time."""
        with self._changed:
            taken = self._take()
            if taken is None:
                if not self._queues and not self._in_flight:
                    return False
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                pause = self._pause()
                self._changed.wait(left if pause is None else min(left, pause))
                return True
        self._process(*taken)
        return time.monotonic() < deadline

    # With the condition held

    def _take(self) -> tuple[K, list[_Entry[T]]] | None:
        """A batch that may go now, taken out of its queue."""
        now = time.monotonic()
        for key, waiting in self._queues.items():
            batch = first_batch([e for e in waiting if e.ready <= now], lambda entry: entry.size)
            full = len(batch) == MAX_BATCH
            if batch and (full or self._flushing or min(e.due for e in batch) <= now):
                chosen = set(map(id, batch))
                rest = [entry for entry in waiting if id(entry) not in chosen]
                del self._queues[key]
                if rest:
                    self._queues[key] = rest  # at the end: keys take turns
                self._in_flight += 1
                return key, batch
        return None

    def _pause(self) -> float | None:
        """Seconds until the next entry is due or may go again."""
        waiting = [entry for queue in self._queues.values() for entry in queue]
        if not waiting:
            return None
        soonest = min(e.ready if self._flushing else max(e.due, e.ready) for e in waiting)
        return max(0.0, soonest - time.monotonic())

    # Without

    def _process(self, key: K, batch: list[_Entry[T]]) -> None:
        again: list[_Entry[T]] = []
        done: list[_Entry[T]] = []
        try:
            self._try(key, batch, again, done)
        finally:
            for entry in done:
                _call(entry.on_done)
            with self._changed:
                if again:
                    self._queues.setdefault(key, [])[:0] = again
                self._in_flight -= 1
                self._changed.notify_all()

    def _try(
        self, key: K, batch: list[_Entry[T]], again: list[_Entry[T]], done: list[_Entry[T]]
    ) -> None:
        self.calls += 1
        try:
            failed = self._call(key, [entry.item for entry in batch])
        except Exception as error:
            if is_refusal(error) and len(batch) > 1:  # it may be one entry's fault
                for entry in batch:
                    self._try(key, [entry], again, done)
                return
            if isinstance(error, CallFailed):
                logger.warning("%s: %d failed: %r", self._name, len(batch), error)
            else:  # a defect of ours; the thread outlives it
                logger.exception("%s: %d failed", self._name, len(batch))
            failed = dict.fromkeys(range(len(batch)), True)
        now = time.monotonic()
        for index, entry in enumerate(batch):
            if failed.get(index) and entry.deadline > now:
                entry.ready = now + RETRY_SECONDS
                again.append(entry)
            else:
                self._count(gave_up=index in failed)
                done.append(entry)

    def _count(self, *, gave_up: bool) -> None:
        with self._changed:
            self.failed += gave_up
            self.flushed += not gave_up
        if gave_up:
            logger.warning("%s: one given up: its message may come again", self._name)


def _call(on_done: Callable[[], None] | None) -> None:
    if on_done is None:
        return
    try:
        on_done()
    except Exception:  # the next entries' must be called all the same
        logger.exception("a callback failed")
