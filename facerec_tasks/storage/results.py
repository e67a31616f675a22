"""The record of a task's result: written once, read by every later run."""

from collections.abc import Callable

from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.schemas import Answer
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

CORRECTIONS = 5
"""Attempts at one, when others correct the same record."""


class Results:
    """``results/<task id>.json`` in the state bucket: the effect of a task, exactly once."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state

    def create(self, answer: Answer) -> Answer:
        """Writes the record if there is none; returns what is on record, ours or an earlier one."""
        try:
            self._state.put(layout.result(answer.task_id), answer.to_json(), if_absent=True)
        except PreconditionFailed:
            earlier = self.get(answer.task_id)
            if earlier is None:  # removed by a purge between the two calls
                raise
            return earlier
        return answer

    def get(self, task_id: str) -> Answer | None:
        """The answer on record, or none yet."""
        found = self._state.find(layout.result(task_id))
        return Answer.from_json(found.data) if found else None

    def reopen(self, task_id: str) -> bool:
        """Removes the record of a dead-lettered task, to let it run again; False without one."""
        earlier = self.get(task_id)
        if earlier is None or earlier.outcome != "poison":
            return False
        self._state.delete(layout.result(task_id))
        return True

    def correct(self, task_id: str, change: Callable[[Answer], Answer]) -> Answer | None:
        """Rewrites a record; returns it, or None when there is none.

        ``change`` may be called several times. Raises :class:`PreconditionFailed` when others keep
        correcting it too.
        """
        for attempt in range(CORRECTIONS):
            stored = self._state.find(layout.result(task_id))
            if stored is None:
                return None
            before = Answer.from_json(stored.data)
            after = change(before)
            if after == before:
                return before
            try:
                self._state.put(layout.result(task_id), after.to_json(), if_match=stored.etag)
                return after
            except PreconditionFailed:
                if attempt == CORRECTIONS - 1:
                    raise
        return None
