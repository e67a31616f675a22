"""What is carried to AWS from a thread, in batches; who hands something over never waits.

Deletions, hand-backs and answers differ in what one call does with a batch. How they gather, that
an entry pays for its own failure alone, how often it is tried again and how a flush ends are the
same, and stand here.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from celery.utils.log import get_logger

from celery_sqs._aws.client import CallFailed, is_refusal
from celery_sqs._aws.queues import MAX_BATCH, MAX_BATCH_BYTES

logger = get_logger(__name__)

RETRY_PAUSE = 1.0
"""Seconds until an entry that failed is tried again; it delays no other."""
FLUSH = 10.0
"""Seconds a flush takes at most, besides the call that is under way."""

L = TypeVar("L", bound=Hashable)
T = TypeVar("T")
Flush = Callable[[L, Sequence[T]], Mapping[int, bool]]
"""One call for entries of one line. Returns those that failed, by their index, and whether they may
pass another time; raises botocore's errors when the call failed as a whole."""


@dataclass(eq=False)
class _Entry(Generic[T]):
    item: T
    size: int
    due: float
    """Monotonic seconds at which it goes, its batch full or not."""
    deadline: float
    """After it an entry that failed is given up."""
    then: Callable[[], None] | None = None
    ready: float = 0.0
    """When it may go again, after it failed."""


class BatchProcessor(Generic[L, T]):
    """Lines of entries, and the thread that carries them. Thread-safe.

    Entries of one line share calls: at most ten and 256 KiB. A call is made when ten have gathered
    or the first of them is due; what comes while one is in flight goes with the next. A forked
    child starts empty: what its parent gathered stays the parent's.
    """

    def __init__(self, carry: Flush[L, T], *, name: str, patience: float) -> None:
        """``patience``: seconds until an entry that keeps failing is given up."""
        self._flush = carry
        self._name = name
        self._patience = patience
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._lines: dict[L, list[_Entry[T]]] = {}
        self._in_flight = 0
        self._flushing = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self.carried = 0
        """Entries AWS has acknowledged."""
        self.failed = 0
        """Entries that were given up."""
        self.calls = 0

    def add(
        self,
        line: L,
        item: T,
        *,
        size: int = 0,
        linger: float = 0.0,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Hands over. It waits for others ``linger`` seconds at most.

        ``then`` is called when the entry was carried or given up, but not when the process ends
        before that.
        """
        now = time.monotonic()
        entry = _Entry(item, size, now + linger, now + self._patience, then)
        with self._changed:
            waiting = self._lines.setdefault(line, [])
            waiting.append(entry)
            if not self._closed:
                self._ensure_thread()
            if not linger or len(waiting) in (1, MAX_BATCH):
                self._changed.notify_all()
        if self._closed:
            self.flush()

    def flush(self, timeout: float = FLUSH) -> bool:
        """Carries all in the caller's thread; false when some of it could not be.

        What is left then stays with the thread that carries, or is dropped when that was closed.
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
                left = sum(map(len, self._lines.values())) + self._in_flight
                if self._closed:
                    self._lines.clear()
        if left:
            logger.warning("%s: %d not carried in time: tasks may run twice", self._name, left)
        return not left

    def close(self) -> None:
        """Flushes and ends the thread. What comes later is carried in the caller's thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.flush()

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            with suppress(RuntimeError):  # none can be started at exit: a flush follows
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (taken := self._take()) is None:
                    if self._closed:
                        return
                    self._changed.wait(self._pause())
            self._carry_taken(*taken)

    def _flush_once(self, deadline: float) -> bool:
        """False when nothing is left to be done, or no time."""
        with self._changed:
            taken = self._take()
            if taken is None:
                if not self._lines and not self._in_flight:
                    return False
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                pause = self._pause()
                self._changed.wait(left if pause is None else min(left, pause))
                return True
        self._carry_taken(*taken)
        return time.monotonic() < deadline

    # With the condition held

    def _take(self) -> tuple[L, list[_Entry[T]]] | None:
        """A batch that may go now, taken out of its line."""
        now = time.monotonic()
        for line, waiting in self._lines.items():
            batch = _fitting([entry for entry in waiting if entry.ready <= now])
            full = len(batch) == MAX_BATCH
            if batch and (full or self._flushing or min(e.due for e in batch) <= now):
                chosen = set(map(id, batch))
                rest = [entry for entry in waiting if id(entry) not in chosen]
                del self._lines[line]
                if rest:
                    self._lines[line] = rest  # at the end: lines take turns
                self._in_flight += 1
                return line, batch
        return None

    def _pause(self) -> float | None:
        """Seconds until the next entry is due or may go again."""
        waiting = [entry for line in self._lines.values() for entry in line]
        if not waiting:
            return None
        soonest = min(e.ready if self._flushing else max(e.due, e.ready) for e in waiting)
        return max(0.0, soonest - time.monotonic())

    # Without

    def _carry_taken(self, line: L, batch: list[_Entry[T]]) -> None:
        again: list[_Entry[T]] = []
        done: list[_Entry[T]] = []
        try:
            self._try(line, batch, again, done)
        finally:
            for entry in done:
                _call(entry.then)
            with self._changed:
                if again:
                    self._lines.setdefault(line, [])[:0] = again
                self._in_flight -= 1
                self._changed.notify_all()

    def _try(
        self, line: L, batch: list[_Entry[T]], again: list[_Entry[T]], done: list[_Entry[T]]
    ) -> None:
        self.calls += 1
        try:
            failed = self._flush(line, [entry.item for entry in batch])
        except Exception as error:
            if is_refusal(error) and len(batch) > 1:  # it may be one entry's fault
                for entry in batch:
                    self._try(line, [entry], again, done)
                return
            if isinstance(error, CallFailed):
                logger.warning("%s: %d failed: %r", self._name, len(batch), error)
            else:  # a defect of ours; the thread outlives it
                logger.exception("%s: %d failed", self._name, len(batch))
            failed = dict.fromkeys(range(len(batch)), True)
        now = time.monotonic()
        for index, entry in enumerate(batch):
            if failed.get(index) and entry.deadline > now:
                entry.ready = now + RETRY_PAUSE
                again.append(entry)
            else:
                self._count(gave_up=index in failed)
                done.append(entry)

    def _count(self, *, gave_up: bool) -> None:
        with self._changed:
            self.failed += gave_up
            self.carried += not gave_up
        if gave_up:
            logger.warning("%s: one given up: its message may come again", self._name)


def _fitting(waiting: Sequence[_Entry[T]]) -> list[_Entry[T]]:
    """The first of them, at most ten, as far as they fit into one call; at least one."""
    total = 0
    for count, entry in enumerate(waiting[:MAX_BATCH]):
        total += entry.size
        if count and total > MAX_BATCH_BYTES:
            return list(waiting[:count])
    return list(waiting[:MAX_BATCH])


def _call(then: Callable[[], None] | None) -> None:
    if then is None:
        return
    try:
        then()
    except Exception:  # the next entries' must be called all the same
        logger.exception("what was to follow failed")


_all: "weakref.WeakSet[BatchProcessor[Any, Any]]" = weakref.WeakSet()


def _after_fork() -> None:
    for batches in tuple(_all):
        batches._reset()


os.register_at_fork(after_in_child=_after_fork)
