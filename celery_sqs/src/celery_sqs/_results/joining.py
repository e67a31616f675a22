"""Waiting for results, of one task or of many: ``join_native()`` of groups, ``iter_native()``.

Results come as they are pushed, those of tasks that another process has sent by polling the store.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from celery import states
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, ResultSet

from celery_sqs._broker.bulk import flush_bulk
from celery_sqs._results.consumer import ResultConsumer
from celery_sqs._results.stored import StoredResultsMixin
from celery_sqs._stores.store import Meta
from celery_sqs.errors import ResponseQueueLost

STORE_CHECK = 10.0
"""Seconds of waiting for a push after which the store is looked at: a push that was lost costs
time, never the result."""
FOREVER = 1e6
"""Seconds; a thread cannot wait for infinity."""


class JoiningMixin(StoredResultsMixin):
    """The part of the backend that waits. ``self`` is a Celery backend."""

    supports_native_join = True
    _ensure_not_eager: Callable[[], None]

    def _wait_for_own(
        self,
        consumer: ResultConsumer,
        task_id: str,
        timeout: float | None,
        interval: float,
        on_interval: Callable[[], object] | None,
    ) -> Any:
        """The pushed result, or the stored meta when no push comes.

        ``on_interval`` is Celery's look at the task's parents. A chord may have thousands of them,
        so it sees what was pushed of them; a failure of theirs is stored as this task's as well.
        """
        if self.store is None:
            return consumer.wait(task_id, timeout, interval=interval, on_interval=on_interval)
        deadline = time.monotonic() + (FOREVER if timeout is None else timeout)
        look = partial(self._look_at_pushed, on_interval) if on_interval else None
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                return consumer.wait(
                    task_id, min(left, STORE_CHECK), interval=interval, on_interval=look
                )
            except ResponseQueueLost:
                return self._wait_for_any(task_id, left, interval, on_interval)
            except CeleryTimeoutError:
                meta = self.store.read(task_id)
                if meta["status"] in states.READY_STATES:
                    return meta
                if left <= STORE_CHECK:
                    raise

    def _wait_for_any(
        self,
        task_id: str,
        timeout: float | None,
        interval: float,
        on_interval: Callable[[], object] | None,
    ) -> Meta:
        """By reading the store: nobody pushes the results of tasks that another process sent."""
        found = self.get_many([task_id], timeout, interval, on_interval=on_interval)
        return next(found)[1]

    def iter_native(
        self,
        result: ResultSet,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], object] | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """Pairs of id and meta as results come; for groups inside, last, id and list of results.

        A group whose parent has failed is never sent, so the parent's error is raised.
        """
        self._ensure_not_eager()
        groups = list(_groups(result))
        tasks = {task.id: task for group in groups for task in _tasks(group)}
        missing = {task_id for task_id, task in tasks.items() if not task._cache}
        parents = {
            group.parent.id
            for group in groups
            if isinstance(group.parent, AsyncResult) and not group.parent.ignored
        } - tasks.keys()
        own = {task.id for task in _tasks(result)}
        yield from ((each, tasks[each]._cache) for each in own - missing)
        for task_id, meta in self.get_many(
            missing | parents if missing else (), timeout, interval,
            on_message=on_message, on_interval=on_interval,
        ):  # fmt: skip
            if task_id in missing:
                tasks[task_id]._maybe_set_cache(meta)
                missing.discard(task_id)
            elif meta["status"] in states.PROPAGATE_STATES:
                raise meta["result"]
            if task_id in own:
                yield task_id, meta
            if not missing:
                break
        yield from ((each.id, each.results) for each in result.results if _is_group(each))

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,
        on_message: Callable[[Any], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        max_iterations: int | None = None,
        READY_STATES: Any = states.READY_STATES,
    ) -> Iterator[tuple[str, Meta]]:
        """Pairs of id and meta in the order in which the results come."""
        flush_bulk()
        missing = _Missing(self, set(task_ids), interval or 0.5)
        for task_id, meta in missing.iterate(timeout, on_interval):
            if on_message is not None:
                on_message(meta)
            yield task_id, meta


def _is_group(result: Any) -> bool:
    return isinstance(result, ResultSet)


def _groups(result: ResultSet) -> Iterator[ResultSet]:
    """Itself and all inside it."""
    yield result
    for each in result.results:
        if _is_group(each):
            yield from _groups(each)


def _tasks(group: ResultSet) -> Iterator[AsyncResult]:
    """Those whose result will come."""
    return (each for each in group.results if not _is_group(each) and not each.ignored)


class _Missing:
    """Tasks whose results have not come yet."""

    def __init__(self, backend: Any, task_ids: set[str], interval: float) -> None:
        """``interval``: seconds between reads of what another process has sent."""
        self._backend = backend
        self._own = {task_id for task_id in task_ids if backend._consumer.is_open(task_id)}
        self._others = task_ids - self._own
        self._pushed: SimpleQueue[str] = SimpleQueue()
        self._interval = interval

    def iterate(
        self, timeout: float | None, on_interval: Callable[[], object] | None
    ) -> Iterator[tuple[str, Meta]]:
        """Ids and metas as they come.

        Raises :class:`celery.exceptions.TimeoutError`, its subclass :class:`ResponseQueueLost`, and
        :class:`ResultUnknown` for a task that this process cannot know.
        """
        now = time.monotonic()
        deadline = now + (FOREVER if timeout is None else timeout)
        own_due, others_due = now + STORE_CHECK, now
        with ExitStack() as stack:
            for task_id in self._own:
                arrived = partial(self._pushed.put, task_id)
                stack.enter_context(self._backend._consumer.notify(task_id, arrived))
            while self._own or self._others:
                due = [deadline, own_due] + [others_due] * bool(self._others)
                due += [now + self._interval] * bool(on_interval)
                yield from self._take_pushed(min(due) - now)
                now = time.monotonic()
                if self._others and now >= min(others_due, deadline):
                    others_due = now + self._interval
                    yield from self._read(self._others)
                if self._own and now >= min(own_due, deadline):
                    own_due = now + STORE_CHECK
                    yield from self._read(self._own)
                if (self._own or self._others) and now >= deadline:
                    left = sorted(self._own | self._others)
                    more = f" and {len(left) - 1} more" * (len(left) > 1)
                    raise CeleryTimeoutError(
                        f"no result of task {left[0]}{more} within {timeout} s"
                    )
                if on_interval is not None:
                    on_interval()

    def _take_pushed(self, timeout: float) -> Iterator[tuple[str, Meta]]:
        """Waits for one, and takes all that are there."""
        with suppress(Empty):
            task_id = self._pushed.get(timeout=max(0.0, timeout))
            while True:
                if task_id in self._own:  # it was not read from the store meanwhile
                    self._own.discard(task_id)
                    meta = self._backend.get_task_meta(task_id)
                    if meta["status"] in states.READY_STATES:
                        yield task_id, self._backend.meta_from_decoded(meta)
                    elif self._backend.store is None:
                        raise ResponseQueueLost(f"the queue of task {task_id} was deleted")
                    else:
                        self._others.add(task_id)
                task_id = self._pushed.get_nowait()

    def _read(self, task_ids: set[str]) -> Iterator[tuple[str, Meta]]:
        """Those of ``task_ids`` that are ready in the store, and takes them out."""
        store, wanted = self._backend.store, list(task_ids)
        if store is None and task_ids is self._own:
            return
        metas = store.read_many(wanted) if store else map(self._backend._read_stored, wanted)
        for task_id, meta in zip(wanted, metas, strict=True):
            if meta["status"] in states.READY_STATES:
                task_ids.discard(task_id)
                yield task_id, self._backend.meta_from_decoded(meta)
