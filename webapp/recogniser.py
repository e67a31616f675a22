"""From an upload to its answer: the only module of the web tier that knows the flow.

S3 is the truth, the response queue is the doorbell: the photo is stored, the task is sent, the
request waits for the doorbell and looks at the record itself half-way and once more at the end.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from celery.utils import uuid
from kombu.exceptions import OperationalError

from facerec_tasks.aws import translated
from facerec_tasks.errors import AnswerLate, AwsError, Overloaded, Unavailable
from facerec_tasks.logs import request_id
from facerec_tasks.messages import Answer
from facerec_tasks.results import Results
from facerec_tasks.settings import Settings
from facerec_tasks.storage import Storage
from facerec_tasks.tasks import recognize
from webapp.ledger import Ledger
from webapp.uploads import Upload

log = logging.getLogger(__name__)

INTAKES = 32
"""Uploads read, stored and published at once: bounds the memory of a burst. Those behind wait in
the server's buffers; below botocore's pool of 50 connections."""
RETRY_AFTER = 5
"""Seconds; about what a worker needs from launch to its first answer."""


@dataclass(frozen=True)
class Accepted:
    """A task whose message SQS has acknowledged."""

    task_id: str
    result: Any
    """Celery's AsyncResult; its waiting slot is open."""


class Recogniser:
    """One per process. Its methods are called from as many threads as requests wait."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        storage = Storage(settings)
        self.ledger = ledger
        self._settings = settings
        self._storage = storage
        self._results = Results(storage)
        self._places = threading.BoundedSemaphore(settings.max_waiting)
        self._intakes = threading.BoundedSemaphore(INTAKES)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Takes no more photos; those who wait go on waiting."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait; raises :class:`Overloaded` at once when all are taken."""
        if not self._places.acquire(blocking=False):
            raise Overloaded(RETRY_AFTER)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def intake(self) -> Iterator[None]:
        """Leave to hold a photo's bytes; raises :class:`Overloaded` after half the deadline."""
        if not self._intakes.acquire(timeout=self._settings.answer_timeout / 2):
            raise Overloaded(RETRY_AFTER)
        try:
            yield
        finally:
            self._intakes.release()

    def accept(self, upload: Upload) -> Accepted:
        """Stores the photo and sends its task; when this returns, the photo is never lost.

        Raises :class:`facerec_tasks.errors.AwsError` or ``ConfigurationError``: not accepted.
        """
        version = self._storage.put_photo(upload.key, upload.data, upload.content_type)
        task_id = uuid()
        result = self._send(upload.key, version, task_id)
        self.ledger.accept(task_id)
        log.info("accepted %s: %d bytes", task_id, len(upload.data))
        return Accepted(task_id, result)

    def _send(self, key: str, version: str, task_id: str) -> AsyncResult:
        try:
            with translated():
                return recognize.apply_async(
                    (key, version), task_id=task_id, headers={"request_id": request_id.get()}
                )
        except OperationalError as error:
            raise Unavailable(str(error)) from error

    def wait(self, accepted: Accepted, deadline: float) -> Answer:
        """The answer; raises :class:`AnswerLate` at ``deadline`` (monotonic seconds).

        A lost doorbell costs time, never the answer.
        """
        try:
            half_way = (deadline - time.monotonic()) / 2
            answer = self._rung(accepted, half_way) or self._looked_up(accepted.task_id)
            if answer is None:
                answer = self._rung(accepted, deadline - time.monotonic())
            answer = answer or self._looked_up(accepted.task_id)
            if answer is None:
                raise AnswerLate(accepted.task_id)
            return answer
        finally:
            accepted.result.forget()
            self.ledger.answer(accepted.task_id)

    def _rung(self, accepted: Accepted, timeout: float) -> Answer | None:
        """What the doorbell brings within ``timeout`` seconds."""
        try:
            reply = accepted.result.get(timeout=max(timeout, 0.001), propagate=False)
        except NotYet:
            return None
        if isinstance(reply, dict):
            return Answer.from_dict(reply)
        log.error("task %s failed: %r", accepted.task_id, reply)
        return None

    def _looked_up(self, task_id: str) -> Answer | None:
        """The record, or none; S3 being away is no reason to end a wait."""
        try:
            return self._results.get(task_id)
        except AwsError as error:
            log.warning("record of %s not readable now: %s", task_id, error)
            return None

    def result(self, task_id: str) -> Answer | None:
        """The answer on record; raises :class:`AwsError`."""
        return self._results.get(task_id)
