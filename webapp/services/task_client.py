"""Sends tasks and waits for their results; the web tier's client of Celery.

The record in S3 is the result; a message only says when to read it. A task is accepted when its
send returns: SQS has acknowledged this very message.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from celery_sqs.errors import ResponseQueueLost
from kombu.exceptions import OperationalError

from facerec_tasks.app import app
from facerec_tasks.aws import translated
from facerec_tasks.errors import AnswerLate, Overloaded, Unavailable
from facerec_tasks.logs import request_id
from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT
from webapp.http.errors import RETRY_AFTER
from webapp.services.in_flight import InFlight
from webapp.services.metrics import WebMetrics

log = logging.getLogger(__name__)

UPLOAD_SLOTS = 12
"""Uploads read, stored and published at once: bounds memory, and the threads that compete with
the one that receives. In a burst of 1,000 the in-flight report
took 3.8 s to answer with 32 and 0.9 s with 8,
and photos were accepted as fast. At AWS's latencies 12 take about 200 photos a second."""
MAX_POLL_SECONDS = 4.0
"""Seconds after which a waiting thread sees whether the process stops or its client left."""
DRAIN_RESERVE_SECONDS = 1.0
"""Seconds of the drain kept for telling those who still wait that they waited in vain."""


class ClientGone(Exception):
    """Raised when the client hung up before its answer came."""


@dataclass(frozen=True)
class SentTask:
    """A task on its way; the slot for its answer is open."""

    task_id: str
    result: Any
    """Celery's AsyncResult."""


@dataclass(frozen=True)
class Wait:
    """Until when a request waits for its worker, and for which collection it came."""

    deadline: float
    """Monotonic seconds."""
    gone: Callable[[], bool]
    """Whether the client hung up."""
    collection: str = DEFAULT


class TaskClient:
    """One per process. Its methods are called from as many threads as requests wait."""

    def __init__(self, settings: Settings, in_flight: InFlight, metrics: WebMetrics) -> None:
        self.in_flight = in_flight
        self.metrics = metrics
        self._settings = settings
        self._watched = False
        self._slots_taken = 0
        self._slots_lock = threading.Lock()
        self._upload_slots = threading.BoundedSemaphore(UPLOAD_SLOTS)
        self._drain_end = float("inf")
        self._slice = min(MAX_POLL_SECONDS, settings.drain_timeout / 4)

    def start(self) -> None:
        """Creates the response queue before the first photo comes; raises an ``AwsError``, and may
        then be called again."""
        if not self._watched:
            self._watched = True
            self.metrics.count_aws_calls(self._settings)
            self.metrics.watch(app.backend.health)
        with translated():
            app.backend.start()

    def stop(self) -> None:
        """Those who wait go on waiting while the drain lasts; who is left at its end is told the
        id of the task."""
        drain = max(0.0, self._settings.drain_timeout - DRAIN_RESERVE_SECONDS)
        self._drain_end = time.monotonic() + drain

    @property
    def stopping(self) -> bool:
        return self._drain_end < float("inf")

    @property
    def refuses_work(self) -> bool:
        """Whether a new photo could not be answered before this process ends."""
        return time.monotonic() > self._drain_end - self._settings.drain_timeout / 2

    @property
    def has_free_slot(self) -> bool:
        """Whether :meth:`admission_slot` would succeed at this moment."""
        return self._slots_taken < self._settings.max_waiting

    def fault(self) -> str | None:
        """Why answers cannot be received now, or none."""
        health = app.backend.health()
        if health.queue and health.ok:
            return None
        return f"response queue {health.queue or 'not taken yet'}: not receiving"

    @contextmanager
    def admission_slot(self) -> Iterator[None]:
        """A place among those who wait; raises :class:`Overloaded` at once when all are taken."""
        with self._slots_lock:
            if not self.has_free_slot:
                raise Overloaded(RETRY_AFTER)
            self._slots_taken += 1
        self.metrics.waiting.inc()
        try:
            yield
        finally:
            self.metrics.waiting.dec()
            with self._slots_lock:
                self._slots_taken -= 1

    @contextmanager
    def upload_slot(self) -> Iterator[None]:
        """Leave to hold a photo's bytes; raises :class:`Overloaded` after half the deadline."""
        with self.metrics.stage("upload_slot"):
            if not self._upload_slots.acquire(timeout=self._settings.answer_timeout / 2):
                raise Overloaded(RETRY_AFTER)
        try:
            yield
        finally:
            self._upload_slots.release()

    def send(
        self, task: Task | str, arguments: tuple[Any, ...], task_id: str, *, video: bool = False
    ) -> SentTask:
        """Sends a task, given itself or by name; raises an ``AwsError``: not accepted."""
        signature = app.signature(task) if isinstance(task, str) else task
        try:
            with self.metrics.stage("send"), translated():
                result = signature.apply_async(
                    arguments, task_id=task_id, headers={"request_id": request_id.get()}
                )
        except OperationalError as error:
            AsyncResult(task_id, app=app).forget()
            raise Unavailable(str(error)) from error
        self.in_flight.accept(task_id, video=video)
        self.metrics.accepted.inc()
        self.metrics.set_in_flight(self.in_flight.outstanding)
        return SentTask(task_id, result)

    def announce(self, command: str) -> None:
        """Tells running workers; those who do not hear it find out by themselves."""
        try:
            app.control.broadcast(command)
        except Exception as error:  # noqa: BLE001 - the work is done, and kombu raises anything
            log.warning("workers not told to %s: %s", command, error)

    def wait_for_result(self, sent: SentTask, wait: Wait) -> dict[str, Any] | None:
        """What the task answered; none when it is silent until then, or answered no JSON object.

        Raises :class:`ClientGone`, :class:`AnswerLate` when the process ends before, and
        ``ResponseQueueLost``.
        """
        while (left := self.left(sent, wait)) > 0:
            try:
                reply = sent.result.get(timeout=min(left, self._slice), propagate=False)
            except ResponseQueueLost:
                raise
            except NotYet:
                continue
            if isinstance(reply, dict):
                return reply
            log.error("task %s failed: %r", sent.task_id, reply)
            return None
        return None

    def left(self, sent: SentTask, wait: Wait) -> float:
        """Seconds left to wait; raises when there is no use in waiting."""
        if wait.gone():
            raise ClientGone
        now = time.monotonic()
        if now >= self._drain_end:
            raise AnswerLate(sent.task_id)
        return min(wait.deadline, self._drain_end) - now

    def mark_done(self, task_id: str) -> None:
        """The answer of this task is known: it is outstanding no more."""
        self.in_flight.answer(task_id)
        self.metrics.set_in_flight(self.in_flight.outstanding)
