"""The results that may still come to this process, by task id."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from celery.exceptions import TimeoutError as CeleryTimeoutError

from celery_sqs.errors import ResponseQueueLost, ResultForgotten

MAX_PENDING = 100_000
"""Results kept, arrived or not, that no thread waits for; beyond it the oldest are forgotten, those
that have arrived first."""
MAX_REMEMBERED = 100_000
"""Results no longer pending that are remembered, to tell a late or duplicate one from a foreign."""


@dataclass(eq=False, slots=True)
class PendingResult:
    """Where one result will be put."""

    arrived: threading.Event = field(default_factory=threading.Event)
    result: str | None = None
    lost: bool = False
    waiting: int = 0
    callbacks: list[Callable[[], object]] = field(default_factory=list)
    """Called once, from any thread, when it has arrived or is lost."""

    def set_arrived(self) -> None:
        self.arrived.set()
        for callback in self.callbacks:
            callback()
        self.callbacks.clear()


class PendingResults:
    """Results by task id. Thread-safe; any number of threads may wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self._pending: OrderedDict[str, PendingResult] = OrderedDict()
        self._past: OrderedDict[str, str] = OrderedDict()
        """What a result that comes now would be: ``late``, ``duplicate`` or ``forgotten``."""
        self.waiting = 0
        """Threads that wait for a result which has not arrived."""
        self._callbacks = 0
        """The same of callbacks."""

    def open(self, task_id: str) -> None:
        """A result is expected from now on."""
        with self._lock:
            pending = self._pending.get(task_id)
            if pending is not None and pending.lost:
                del self._pending[task_id]
            self._open(task_id)
            self._evict()

    def is_open(self, task_id: str) -> bool:
        """Whether a result of this task would be kept."""
        return task_id in self._pending

    def peek(self, task_id: str) -> str | None:
        """The result if it has arrived; raises :class:`.errors.ResultForgotten`."""
        with self._lock:
            pending = self._pending.get(task_id)
            if pending is None:
                self._raise_if_forgotten(task_id)
            return pending.result if pending else None

    def wait(
        self,
        task_id: str,
        timeout: float | None,
        *,
        interval: float | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> str:
        """The result once it arrives; ``on_interval`` is called every ``interval`` seconds.

        Raises :class:`celery.exceptions.TimeoutError` after ``timeout`` seconds, its subclass
        :class:`.errors.ResponseQueueLost` at once when no result can come any more, and
        :class:`.errors.ResultForgotten`.
        """
        with self._lock:
            pending = self._awaited(task_id)
            self._begin(pending)
        try:
            arrived = _wait(pending.arrived, timeout, interval, on_interval)
        finally:
            with self._lock:
                self._end(pending)
        if pending.result is not None:
            return pending.result
        if arrived:
            raise ResponseQueueLost(f"the response queue of task {task_id} was deleted")
        raise CeleryTimeoutError(f"no result of task {task_id} within {timeout} s")

    @contextmanager
    def notify(self, task_id: str, callback: Callable[[], object]) -> Iterator[None]:
        """Has ``callback`` called when the result has arrived or is lost, maybe at once.

        Raises :class:`.errors.ResultForgotten`.
        """
        with self._lock:
            pending = self._awaited(task_id)
            pending.waiting += 1
            pending.callbacks.append(callback)
            if pending.arrived.is_set():
                pending.set_arrived()
            else:
                self._callbacks += 1
                self._wanted.notify_all()
        try:
            yield
        finally:
            with self._lock:
                pending.waiting -= 1
                if callback in pending.callbacks:
                    pending.callbacks.remove(callback)
                    self._callbacks -= 1

    def wait_until_wanted(self, timeout: float) -> None:
        """Waits at most ``timeout`` seconds until a thread or callback waits for a result."""
        with self._wanted:
            self._wanted.wait_for(lambda: self.waiting or self._callbacks, timeout)

    def forget(self, task_id: str) -> None:
        """A result that comes now is dropped as late, or as a duplicate."""
        with self._lock:
            self._close(task_id)

    def deliver(self, task_id: str, result: str) -> str:
        """Puts a result where it belongs; returns what it was: ``delivered``, ``late``, …"""
        with self._lock:
            pending = self._pending.get(task_id)
            if pending is None:
                kind = self._past.get(task_id, "foreign")
                return "late" if kind == "forgotten" else kind
            if pending.result is not None:
                return "duplicate"
            pending.result = result
            self._arrive(pending)
            return "delivered"

    def lose_all(self) -> None:
        """No result can come any more for what is pending now."""
        with self._lock:
            for pending in self._pending.values():
                pending.lost = True
                self._arrive(pending)

    @property
    def expected(self) -> int:
        """Results that may still come."""
        with self._lock:
            return sum(each.result is None for each in self._pending.values())

    # With the lock held

    def _begin(self, pending: PendingResult) -> None:
        pending.waiting += 1
        if not pending.arrived.is_set():
            self.waiting += 1
            self._wanted.notify_all()

    def _end(self, pending: PendingResult) -> None:
        pending.waiting -= 1
        if not pending.arrived.is_set():
            self.waiting -= 1

    def _arrive(self, pending: PendingResult) -> None:
        """It has a result or is lost."""
        if not pending.arrived.is_set():
            self.waiting -= pending.waiting - len(pending.callbacks)
            self._callbacks -= len(pending.callbacks)
        pending.set_arrived()

    def _open(self, task_id: str) -> PendingResult:
        self._past.pop(task_id, None)
        return self._pending.setdefault(task_id, PendingResult())

    def _awaited(self, task_id: str) -> PendingResult:
        if task_id not in self._pending:
            self._raise_if_forgotten(task_id)
        return self._open(task_id)

    def _close(self, task_id: str, kind: str | None = None) -> None:
        pending = self._pending.pop(task_id, None)
        if pending is None:
            return
        self._past[task_id] = kind or ("late" if pending.result is None else "duplicate")
        while len(self._past) > MAX_REMEMBERED:
            self._past.popitem(last=False)

    def _evict(self) -> None:
        """A client that never fetches its results must not grow for ever."""
        if len(self._pending) <= MAX_PENDING:
            return
        unawaited = [(id_, each) for id_, each in self._pending.items() if not each.waiting]
        arrived = [id_ for id_, each in unawaited if each.result is not None]
        for task_id in (arrived or [id_ for id_, _ in unawaited])[: MAX_PENDING // 10]:
            self._close(task_id, "forgotten")

    def _raise_if_forgotten(self, task_id: str) -> None:
        if self._past.get(task_id) == "forgotten":
            raise ResultForgotten(
                f"result of task {task_id}: more than {MAX_PENDING} results were pending; fetch or "
                "forget results, or send with ignore_result=True"
            )


def _wait(
    event: threading.Event,
    timeout: float | None,
    interval: float | None,
    on_interval: Callable[[], object] | None,
) -> bool:
    if on_interval is None or not interval:
        return event.wait(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = interval if deadline is None else deadline - time.monotonic()
        if event.wait(max(0.0, min(interval, left))):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
        on_interval()
