"""One delivery of one task, with the discipline all kinds of task share.

Runs at least once, takes effect once: the first record written is the answer. Starts are counted,
so that a task that crashes its workers is dead-lettered, and one that failed with AWS is not.
"""

import logging
import socket
import time
from typing import Any, NoReturn

from celery import states
from celery.exceptions import Reject

from facerec_tasks.errors import AwsError
from facerec_tasks.logs import request_id
from facerec_tasks.schemas import Answer
from facerec_tasks.settings import get_settings
from facerec_tasks.storage import layout
from facerec_tasks.tasks.worker_context import attempts, results, storage

log = logging.getLogger(__name__)


class IdempotentTask:
    """One delivery of a task about one object of the in-bucket. Not for use by two threads."""

    def __init__(self, task: Any, key: str, version: str | None) -> None:
        self._task, self._version = task, version
        self._id: str = task.request.id
        self.key = key
        self.request_id: str = getattr(task.request, "request_id", None) or task.request.id
        self._again = (getattr(task.request, "sqs_receive_count", None) or 1) > 1
        self._started = False

    def run(self) -> Answer:
        """The answer on record, after making sure that it is there and can be seen."""
        earlier = results().get(self._id) if self._again else None
        return self._show(earlier or self._record(self._work()))

    def forget_start(self) -> None:
        """A failure of AWS does not count as a start of the task."""
        if self._started:
            try:
                attempts().forget_last(self._id)
            except AwsError as error:
                log.warning("a start too many stays counted: %s", error)

    def _work(self) -> Answer:
        """What this kind of task does; returns an answer that is not on record yet."""
        raise NotImplementedError

    def _count_start(self) -> None:
        """Counts this start; buries the task instead when it had all its starts."""
        history = attempts().starts(self._id)
        # The first delivery is not written down, to save every photo a PUT: it counts as one start.
        if len(history) + 1 >= get_settings().max_starts:
            self._bury(history)
        attempts().add(self._id, history, receive=self._task.request.sqs_receive_count)
        self._started = True

    def _bury(self, history: list[dict[str, Any]]) -> NoReturn:
        poison = self._answer(
            outcome="poison",
            code="poison",
            detail=f"crashed its worker {len(history) + 1} times",
            history=tuple(history),
        )
        answer = self._show(results().create(poison))
        log.error("dead-lettered %s after %d starts", self.key, len(history) + 1)
        self._task.backend.store_result(
            self._id, answer.to_message(), states.SUCCESS, request=self._task.request
        )
        raise Reject("poison", requeue=False)

    def _record(self, answer: Answer) -> Answer:
        recorded = results().create(answer)
        if self._again:
            attempts().clear(self._id)
        return recorded

    def _show(self, answer: Answer) -> Answer:
        """Writes the name where people look for it; a repeated delivery overwrites nobody newer."""
        if answer.text is not None:
            key = layout.name_key(answer.key)
            storage().names.put(
                key, answer.text, answer.task_id, answer.finished_at or 0.0, keep_newer=self._again
            )
        return answer

    def _answer(self, **fields: Any) -> Answer:
        return Answer(
            task_id=self._id,
            key=self.key,
            version=self._version,
            request_id=request_id.get(),
            worker=getattr(self._task.request, "hostname", None) or socket.gethostname(),
            finished_at=time.time(),
            **fields,
        )
