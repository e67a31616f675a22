"""From an upload to its answer: the only module of the web tier that knows the flow.

S3 is the truth, the response queue is the doorbell: the photo is stored, the task is sent, the
request waits for the doorbell and looks at the record itself half-way and once more at the end.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
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
from facerec_tasks.sqs.backend import ResponseQueueLost
from facerec_tasks.sqs.sender import SendFailed
from facerec_tasks.storage import Storage
from facerec_tasks.tasks import recognize
from webapp.idempotency import Claim, Claims, InProgress, KeyReused, fingerprint
from webapp.latecomers import Latecomers
from webapp.ledger import Ledger
from webapp.metrics import Metrics
from webapp.uploads import Upload

log = logging.getLogger(__name__)

INTAKES = 32
"""Uploads read, stored and published at once: bounds the memory of a burst. Those behind wait in
the server's buffers; below botocore's pool of 50 connections."""
RETRY_AFTER = 5
"""Seconds; about what a worker needs from launch to its first answer."""
LONGEST_SLICE = 4.0
"""Seconds after which a waiting thread sees whether the process stops or its client left."""
LAST_WORDS = 1.0
"""Seconds of the drain kept for telling those who still wait that they waited in vain."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 8.0
"""Seconds between two looks at the record once the response queue is lost."""


class ClientGone(Exception):
    """Raised when the client hung up before its answer came."""


def nobody_left() -> bool:
    return False


@dataclass(frozen=True)
class Accepted:
    """A task whose message SQS has acknowledged."""

    task_id: str
    result: Any = None
    """Celery's AsyncResult; its waiting slot is open."""
    answer: Answer | None = None
    """The answer, when an earlier request with the same idempotency key has it already."""


class Recogniser:
    """One per process. Its methods are called from as many threads as requests wait."""

    def __init__(self, settings: Settings, ledger: Ledger, metrics: Metrics) -> None:
        storage = Storage(settings)
        self.ledger = ledger
        self._metrics = metrics
        self._settings = settings
        self._storage = storage
        self._results = Results(storage)
        self._claims = Claims(storage)
        self._latecomers = Latecomers(self._results.get, self._answered_late)
        self._places = threading.BoundedSemaphore(settings.max_waiting)
        self._intakes = threading.BoundedSemaphore(INTAKES)
        self._drain_end = float("inf")
        self._slice = min(LONGEST_SLICE, settings.drain_timeout / 4)

    # Start and stop

    def start(self) -> None:
        """Takes the response queue before the first photo comes; raises :class:`AwsError`."""
        self._metrics.count_aws_calls(self._settings)
        self._metrics.watch(recognize.backend.health)
        with translated():
            recognize.backend.start()

    def stop(self) -> None:
        """Takes no more photos. Those who wait go on waiting while the drain lasts; who is left at
        its end is told the id of the task."""
        drain = max(0.0, self._settings.drain_timeout - LAST_WORDS)
        self._drain_end = time.monotonic() + drain

    @property
    def stopping(self) -> bool:
        return self._drain_end < float("inf")

    def receiving_fault(self) -> str | None:
        """Why answers cannot be received now, or none."""
        health = recognize.backend.health()
        if health.queue and health.ok:
            return None
        return f"response queue {health.queue or 'not taken yet'}: not receiving"

    # Accepting

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait; raises :class:`Overloaded` at once when all are taken."""
        if not self._places.acquire(blocking=False):
            raise Overloaded(RETRY_AFTER)
        self._metrics.waiting.inc()
        try:
            yield
        finally:
            self._metrics.waiting.dec()
            self._places.release()

    @contextmanager
    def intake(self) -> Iterator[None]:
        """Leave to hold a photo's bytes; raises :class:`Overloaded` after half the deadline."""
        with self._metrics.stage("intake"):
            if not self._intakes.acquire(timeout=self._settings.answer_timeout / 2):
                raise Overloaded(RETRY_AFTER)
        try:
            yield
        finally:
            self._intakes.release()

    def accept(self, upload: Upload, idempotency_key: str | None = None) -> Accepted:
        """Stores the photo and sends its task; when this returns, the photo is never lost.

        Raises :class:`facerec_tasks.errors.AwsError` or ``ConfigurationError``: not accepted; and
        :class:`InProgress` or :class:`KeyReused`.
        """
        if idempotency_key is not None:
            return self._accept_once(upload, idempotency_key)
        return self._send(upload.key, self._store(upload), uuid())

    def _store(self, upload: Upload) -> str:
        with self._metrics.stage("store"):
            return self._storage.put_photo(upload.key, upload.data, upload.content_type)

    def _accept_once(self, upload: Upload, idempotency_key: str) -> Accepted:
        print_ = fingerprint(upload.key, upload.data)
        claim = self._claims.find(idempotency_key)
        if claim is None:
            mine = Claim(uuid(), upload.key, self._store(upload), print_)
            claim = self._claims.make(idempotency_key, mine)
            if claim == mine:
                return self._send(claim.key, claim.version, claim.task_id)
        if claim.fingerprint != print_:
            raise KeyReused
        return self._resume(claim)

    def _resume(self, claim: Claim) -> Accepted:
        """The task of an earlier request. It is sent once more when nobody here follows it: that
        process may have died before it sent it, and a task that runs twice has one effect."""
        answer = self._results.get(claim.task_id)
        if answer is not None:
            return Accepted(claim.task_id, answer=answer)
        followed = self._latecomers.take(claim.task_id)
        if followed is not None:
            return Accepted(claim.task_id, followed)
        if self.ledger.holds(claim.task_id):
            raise InProgress
        return self._send(claim.key, claim.version, claim.task_id)

    def _send(self, key: str, version: str, task_id: str) -> Accepted:
        try:
            with self._metrics.stage("send"), translated():
                result = recognize.apply_async(
                    (key, version), task_id=task_id, headers={"request_id": request_id.get()}
                )
        except (OperationalError, SendFailed, TimeoutError) as error:
            AsyncResult(task_id, app=recognize.app).forget()
            raise Unavailable(str(error)) from error
        self.ledger.accept(task_id)
        self._metrics.accepted.inc()
        self._metrics.outstanding.set(self.ledger.outstanding)
        log.info("accepted %s", task_id)
        return Accepted(task_id, result)

    # Waiting

    def wait(
        self, accepted: Accepted, deadline: float, gone: Callable[[], bool] = nobody_left
    ) -> Answer:
        """The answer. A lost doorbell costs time, never the answer.

        ``deadline`` is in monotonic seconds; ``gone`` tells whether the client hung up. Raises
        :class:`AnswerLate` and :class:`ClientGone`: the task goes on and stays in the ledger.
        """
        if accepted.answer is not None:
            return accepted.answer
        try:
            with self._metrics.stage("answer"):
                answer = self._awaited(accepted, deadline, gone)
        except (AnswerLate, ClientGone):
            self.leave(accepted)
            raise
        accepted.result.forget()
        self._settle(accepted.task_id)
        return answer

    def leave(self, accepted: Accepted) -> None:
        """Nobody waits for this task: it is followed for the ledger's sake, and a mark says that
        its answer is still to come, to whichever process is asked."""
        if accepted.answer is not None:
            return
        self._latecomers.follow(accepted.task_id, accepted.result)
        try:
            self._storage.put(_mark(accepted.task_id), b"")
        except AwsError as error:
            log.warning("%s not marked as accepted: %s", accepted.task_id, error)

    def _settle(self, task_id: str) -> None:
        self.ledger.answer(task_id)
        self._metrics.outstanding.set(self.ledger.outstanding)

    def _answered_late(self, task_id: str) -> None:
        self._settle(task_id)
        try:
            self._storage.delete(_mark(task_id))
        except AwsError as error:
            log.warning("mark of %s not removed: %s", task_id, error)

    def _awaited(self, accepted: Accepted, deadline: float, gone: Callable[[], bool]) -> Answer:
        half_way = (time.monotonic() + deadline) / 2
        try:
            for until in (half_way, deadline):
                answer = self._rung(accepted, until, gone) or self._on_record(accepted.task_id)
                if answer is not None:
                    return answer
        except ResponseQueueLost:
            return self._watched(accepted, deadline, gone)
        raise AnswerLate(accepted.task_id)

    def _rung(self, accepted: Accepted, until: float, gone: Callable[[], bool]) -> Answer | None:
        """What the doorbell brings; none when it is silent or brings what is no answer."""
        while (left := self._left(accepted, until, gone)) > 0:
            try:
                reply = accepted.result.get(timeout=min(left, self._slice), propagate=False)
            except ResponseQueueLost:
                raise
            except NotYet:
                continue
            if isinstance(reply, dict):
                return Answer.from_dict(reply)
            log.error("task %s failed: %r", accepted.task_id, reply)
            return None
        return None

    def _watched(self, accepted: Accepted, deadline: float, gone: Callable[[], bool]) -> Answer:
        """The doorbell is gone (somebody deleted the queue): only then is the record polled."""
        pause = FIRST_PAUSE
        while True:
            answer = self._on_record(accepted.task_id)
            if answer is not None:
                return answer
            left = self._left(accepted, deadline, gone)
            if left <= 0:
                raise AnswerLate(accepted.task_id)
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _left(self, accepted: Accepted, until: float, gone: Callable[[], bool]) -> float:
        """Seconds left to wait; raises when there is no use in waiting."""
        if gone():
            raise ClientGone
        now = time.monotonic()
        if now >= self._drain_end:
            raise AnswerLate(accepted.task_id)
        return min(until, self._drain_end) - now

    def _on_record(self, task_id: str) -> Answer | None:
        """The record, or none; S3 being away is no reason to end a wait."""
        try:
            return self._results.get(task_id)
        except AwsError as error:
            log.warning("record of %s not readable now: %s", task_id, error)
            return None

    def result(self, task_id: str) -> Answer | None:
        """The answer on record; raises :class:`AwsError`."""
        return self._results.get(task_id)

    def expects(self, task_id: str) -> bool:
        """Whether the task was accepted, here or elsewhere, and its answer is still to come."""
        return self.ledger.holds(task_id) or self._storage.find(_mark(task_id)) is not None


def _mark(task_id: str) -> str:
    return f"accepted/{task_id}"
