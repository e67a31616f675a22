"""Starts of a task, counted so that one that crashes its workers is dead-lettered.

Receives cannot be counted instead: give-backs and abandoned polls burn receives too.
"""

import json
import socket
import time
from typing import Any

from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket


class Attempts:
    """``attempts/<task id>.json`` in the state bucket: a list of starts, oldest first.

    Only one delivery of a task runs at a time while its visibility is extended; if two do, one
    start may be lost from the list, which buries later, never sooner.
    """

    def __init__(self, state: StateBucket) -> None:
        self._state = state

    def starts(self, task_id: str) -> list[dict[str, Any]]:
        """Starts written down so far: ``at`` (unix seconds), ``machine``, ``receive``."""
        found = self._state.find(layout.attempts(task_id))
        return list(json.loads(found.data)) if found else []

    def add(self, task_id: str, earlier: list[dict[str, Any]], *, receive: int) -> None:
        """Writes down a start, before the work that may crash."""
        start = {"at": time.time(), "machine": socket.gethostname(), "receive": receive}
        self._write(task_id, [*earlier, start])

    def forget_last(self, task_id: str) -> None:
        """Takes back the last start: it ended because AWS failed, not by the photo."""
        self._write(task_id, self.starts(task_id)[:-1])

    def clear(self, task_id: str) -> None:
        """Removes the list: the task has its answer."""
        self._state.delete(layout.attempts(task_id))

    def _write(self, task_id: str, starts: list[dict[str, Any]]) -> None:
        self._state.put(layout.attempts(task_id), json.dumps(starts).encode())
