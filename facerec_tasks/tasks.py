"""The task: fetch a photo, recognise it, record the answer, answer.

A web process imports this module to send the task, so nothing here imports the engine: the worker
hands it over with :func:`use_engine` before it forks its children.
"""

import logging
import socket
import time
from collections.abc import Callable
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NoReturn

from celery import states
from celery.exceptions import Reject

from facerec_tasks.app import app
from facerec_tasks.attempts import Attempts
from facerec_tasks.errors import AwsError, ConfigurationError, NotFound
from facerec_tasks.logs import request_id
from facerec_tasks.messages import Answer
from facerec_tasks.results import Results
from facerec_tasks.settings import get_settings
from facerec_tasks.storage import Storage

log = logging.getLogger(__name__)

Engine = Callable[[bytes], dict[str, Any]]
"""Photo bytes -> the fields of an Answer that depend on the photo alone. Raises nothing for a
photo's fault; an :class:`AwsError` when the gallery cannot be read."""

_engine: Engine | None = None


def use_engine(engine: Engine) -> None:
    """Gives this worker its eyes; called once in the parent, inherited by the children."""
    global _engine
    _engine = engine


@app.task(bind=True, name="facerec_tasks.tasks.recognize")
def recognize(self: Any, key: str, version: str | None = None) -> dict[str, Any]:
    """Recognises that version of a photo of the in-bucket; returns ``Answer.to_dict()``.

    Runs at least once, takes effect once: the first record written is the answer. Raises
    :class:`celery.exceptions.Reject`: to be tried again later, or, without requeue, to be buried.
    """
    request_id.set(getattr(self.request, "request_id", None) or self.request.id)
    job = _Job(self, key, version)
    try:
        return job.run().to_dict()
    except (AwsError, ConfigurationError) as error:
        log.warning("not now, back to the queue: %s", error)
        job.forget_start()
        raise Reject(str(error), requeue=True) from error
    except Reject:
        raise
    except Exception as error:  # a bug must not answer for the photo: retried, counted, buried
        log.exception("task failed at %s", key)
        raise Reject(repr(error), requeue=True) from error


class _Job:
    """One delivery of one task."""

    def __init__(self, task: Any, key: str, version: str | None) -> None:
        self._task, self._key, self._version = task, key, version
        self._id: str = task.request.id
        self._again = (getattr(task.request, "sqs_receive_count", None) or 1) > 1
        self._started = False

    def run(self) -> Answer:
        """The answer on record, after making sure that it is there and can be seen."""
        earlier = _results().get(self._id) if self._again else None
        return self._show(earlier or self._record(self._recognised()))

    def forget_start(self) -> None:
        """What failed for want of AWS was no start of the task."""
        if self._started:
            try:
                _attempts().forget_last(self._id)
            except AwsError as error:
                log.warning("a start too many stays counted: %s", error)

    def _recognised(self) -> Answer:
        begin = time.monotonic()
        try:
            photo = _storage().get_photo(self._key, self._version)
        except NotFound as error:
            return self._answer(outcome="rejected", code="photo-gone", detail=str(error))
        if self._again:
            self._count_start()
        if _engine is None:
            raise ConfigurationError("this worker has no engine: start facerec_tasks.worker")
        fields = _engine(photo)
        log.info("recognised %s in %.3f s", self._key, time.monotonic() - begin)
        return self._answer(**fields)

    def _count_start(self) -> None:
        """Counts this start; buries the task instead when it had all its starts."""
        history = _attempts().starts(self._id)
        # The first delivery is not written down, to save every photo a PUT: it counts as one start.
        if len(history) + 1 >= get_settings().max_starts:
            self._bury(history)
        _attempts().add(self._id, history, receive=self._task.request.sqs_receive_count)
        self._started = True

    def _bury(self, history: list[dict[str, Any]]) -> NoReturn:
        poison = self._answer(
            outcome="poison",
            code="poison",
            detail=f"crashed its worker {len(history) + 1} times",
            history=tuple(history),
        )
        answer = self._show(_results().create(poison))
        log.error("buried %s after %d starts", self._key, len(history) + 1)
        self._task.backend.store_result(
            self._id, answer.to_dict(), states.SUCCESS, request=self._task.request
        )
        raise Reject("poison", requeue=False)

    def _record(self, answer: Answer) -> Answer:
        recorded = _results().create(answer)
        if self._again:
            _attempts().clear(self._id)
        return recorded

    def _show(self, answer: Answer) -> Answer:
        """Writes the name where people look for it; a repeated delivery overwrites nobody newer."""
        if answer.text is not None:
            stem = PurePosixPath(answer.key).stem
            _storage().put_name(
                stem, answer.text, answer.task_id, answer.finished_at or 0.0, careful=self._again
            )
        return answer

    def _answer(self, **fields: Any) -> Answer:
        return Answer(
            task_id=self._id,
            key=self._key,
            version=self._version,
            request_id=request_id.get(),
            worker=getattr(self._task.request, "hostname", None) or socket.gethostname(),
            finished_at=time.time(),
            **fields,
        )


@cache
def _storage() -> Storage:
    return Storage(get_settings())


@cache
def _results() -> Results:
    return Results(_storage())


@cache
def _attempts() -> Attempts:
    return Attempts(_storage())
