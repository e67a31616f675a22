"""What the result backend does with a result store: states, groups, chords, other processes' tasks.

Switched on by the option ``result_store``. The push stays the way on which the sender of a task is
woken; the store is written before it, and read by whoever has no push to wait for.
"""

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

from celery import states
from celery.result import GroupResult

from celery_sqs._results.chords import Chords
from celery_sqs._results.sender import is_captured
from celery_sqs._stores.store import Meta, ResultStore
from celery_sqs.errors import ResultUnknown

logger = logging.getLogger(__name__)

IN_STORE = "in_store"
"""Member of a pushed result that is too large to be pushed."""
NO_STORE = "other processes' results, states, saved groups and chords need result_store"


class _Waiting(threading.local):
    """What a thread that waits for a result is doing."""

    pushes_only = False
    """A task without a pushed result is taken for pending."""


class StoredResultsMixin:
    """The part of the backend that knows the store. ``self`` is a Celery backend."""

    app: Any
    result_store: str | None
    chord_error_from_stack: Callable[..., Any]
    _get_result_meta: Callable[..., Meta]
    _warned = False

    @cached_property
    def _waiting(self) -> _Waiting:
        return _Waiting()

    @cached_property
    def store(self) -> ResultStore | None:
        """``None`` without the option."""
        return ResultStore(self.app, self.result_store) if self.result_store else None

    def _required_store(self) -> ResultStore:
        if self.store is None:
            raise ResultUnknown(NO_STORE)
        return self.store

    @cached_property
    def _chords(self) -> Chords:
        return Chords(self.app, self._required_store(), self.chord_error_from_stack)

    # Writing, in a worker

    def _write(self, task_id: str, meta: Meta, request: Any) -> bool:
        """Stores a state or result; returns whether it is in the store.

        A store that fails does not fail the task, but for chords.
        """
        if self.store is None:
            if meta["status"] not in states.READY_STATES and not self._warned:
                type(self)._warned = True
                logger.warning("state %s is stored nowhere: %s", meta["status"], NO_STORE)
            return False
        by_itself = is_captured() or meta["status"] not in states.PROPAGATE_STATES
        first = (  # and not the parent's word on a child that may have died after its success
            by_itself and getattr(request, "sqs_receive_count", None) == 1
        )
        try:
            self.store.write(task_id, {**meta, "task_id": task_id}, first=first)
        except Exception:
            if getattr(request, "chord", None):
                raise
            logger.exception("result of task %s is not in the store", task_id)
            return False
        return True

    # Reading

    def _read_stored(self, task_id: str) -> Meta:
        """Raises :class:`ResultUnknown` without a store."""
        return self._required_store().read(task_id)

    def _look_at_pushed(self, on_interval: Callable[[], object]) -> None:
        self._waiting.pushes_only = True
        try:
            on_interval()
        finally:
            self._waiting.pushes_only = False

    # Groups

    def _save_group(self, group_id: str, result: GroupResult) -> GroupResult:
        self._required_store().backend._save_group(group_id, result)
        return result

    def _restore_group(self, group_id: str) -> Any:
        return self._required_store().backend._restore_group(group_id)

    def _delete_group(self, group_id: str) -> None:
        self._required_store().backend._delete_group(group_id)

    def cleanup(self) -> None:
        """Celery's daily ``backend_cleanup``, for stores that do not expire results themselves."""
        if self.store is not None:
            self.store.backend.cleanup()

    # Chords

    def ensure_chords_allowed(self) -> None:
        """Raises :class:`NotImplementedError` when there is no store that can count."""
        if self.store is None:
            raise NotImplementedError(f"chords count in a store: {NO_STORE}")
        _ = self.store.driver

    def apply_chord(self, header_result_args: Any, body: Any, **_: Any) -> None:
        self.ensure_chords_allowed()
        self._chords.start(*header_result_args[:2])

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        self._chords.set_size(group_id, chord_size)

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        self._chords.add_to_chord(chord_id, result)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **_: Any) -> None:
        if not request.group or not request.id:
            return
        if getattr(request, "ignore_result", False):  # the body wants it all the same
            encoded = self.encode_result(result, state)  # type: ignore[attr-defined]
            self._write(request.id, self._get_result_meta(encoded, state, None, request), request)
        index = getattr(request, "group_index", None)
        self._chords.part_returned(request.id, request.group, request.chord, index)
