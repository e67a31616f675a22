"""Tasks that no request waits for, followed until they are answered: what is in flight stays exact.

They come from requests that did not want to wait, that gave up at their deadline, or whose client
went away. Their answers still arrive at this process's response queue; the record is looked at
rarely, for the answer whose message was lost.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from facerec_tasks.errors import AwsError

log = logging.getLogger(__name__)

ROUND = 1.0
"""Seconds between two looks at the answers that arrived; they lie in memory."""
FIRST_LOOK = 30.0
"""Seconds until the record of a task is looked at; doubles each time."""
GIVE_UP = 6 * 3600.0
"""Seconds after which a task is in flight no more; the queue's own count still has it."""


@dataclass
class _Followed:
    task_id: str
    result: Any
    since: float
    next_look: float


class OrphanedTasks:
    """One thread follows them all; it starts with the first."""

    def __init__(
        self, on_record: Callable[[str], object | None], answered: Callable[[str], None]
    ) -> None:
        """``on_record`` reads a task's record and may raise :class:`AwsError`; ``answered`` is told
        the id of every task that needs no following any more."""
        self._on_record = on_record
        self._answered = answered
        self._followed: dict[str, _Followed] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, task_id: str, result: Any) -> None:
        """Takes over a task; ``result`` is Celery's AsyncResult with its slot still open."""
        now = time.monotonic()
        with self._lock:
            self._followed[task_id] = _Followed(task_id, result, now, now + FIRST_LOOK)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="orphaned-tasks", daemon=True
                )
                self._thread.start()

    def take(self, task_id: str) -> Any | None:
        """Somebody waits for the task again: its AsyncResult, or none when it is not followed."""
        with self._lock:
            followed = self._followed.pop(task_id, None)
        return followed.result if followed else None

    def __len__(self) -> int:
        with self._lock:
            return len(self._followed)

    def _run(self) -> None:
        while True:
            time.sleep(ROUND)
            with self._lock:
                followed = list(self._followed.values())
            for one in followed:
                self._see_to(one)

    def _see_to(self, one: _Followed) -> None:
        try:
            done = self._done(one, time.monotonic())
        # One unreadable answer or record must not end the thread that follows all others.
        except Exception:
            log.exception("task %s is followed no more", one.task_id)
            done = True
        if done:
            self._let_go(one)

    def _done(self, one: _Followed, now: float) -> bool:
        if one.result.ready():
            return True
        if now >= one.next_look:
            one.next_look = now + 2 * (now - one.since)
            return self._is_on_record(one.task_id)
        if now - one.since > GIVE_UP:
            log.warning("task %s not answered for %.0f h: given up", one.task_id, GIVE_UP / 3600)
            return True
        return False

    def _is_on_record(self, task_id: str) -> bool:
        try:
            return self._on_record(task_id) is not None
        except AwsError as error:
            log.warning("record of %s not readable now: %s", task_id, error)
            return False

    def _let_go(self, one: _Followed) -> None:
        with self._lock:
            if self._followed.pop(one.task_id, None) is not one:
                return  # somebody took it meanwhile
        one.result.forget()
        self._answered(one.task_id)
