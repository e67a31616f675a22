"""From an upload to its answer: the only module of the web tier that knows its way.

S3 is the truth, the response queue only tells when to look: the photo is stored, the task is sent,
the request waits for its result and looks at the record itself half-way and once more at the end.
"""

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from celery_sqs.errors import ResponseQueueLost

from facerec_tasks.errors import AnswerLate, AwsError
from facerec_tasks.schemas import STORED, Answer
from facerec_tasks.storage import layout
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.videos import VideoStore
from facerec_tasks.task_ids import new_task_id
from facerec_tasks.tasks import recognize, recognize_video
from webapp.http.errors import Problem
from webapp.http.uploads import Upload
from webapp.services.idempotency import (
    IdempotencyRecord,
    IdempotencyStore,
    fingerprint,
    in_progress,
)
from webapp.services.orphaned_tasks import OrphanedTasks
from webapp.services.task_client import SentTask, TaskClient, Wait

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 8.0
"""Seconds between two looks at the record once the response queue is lost."""


@dataclass(frozen=True)
class Accepted:
    """A photo or video that is never lost."""

    task_id: str
    key: str
    sent: SentTask | None
    video: bool = False
    answer: Answer | None = None
    """In the place of ``sent``, when an earlier request with this idempotency key has it."""


class RecognitionService:
    """One per process. Its methods are called from as many threads as requests wait."""

    def __init__(self, storage: Storage, task_client: TaskClient) -> None:
        self._task_client = task_client
        self._storage = storage
        self._results = Results(storage.state)
        self._idempotency = IdempotencyStore(storage.state)
        self._orphaned = OrphanedTasks(self._results.get, self._answered_late)

    # Accepting

    def accept(self, upload: Upload, idempotency_key: str | None = None) -> Accepted:
        """Stores the photo and sends its task; when this returns, the photo is never lost.

        Raises :class:`facerec_tasks.errors.AwsError` or ``ConfigurationError``: not accepted; and
        :class:`Problem` for another request with that idempotency key.
        """
        if idempotency_key is not None:
            return self._accept_once(upload, idempotency_key)
        return self._send(upload.key, self._store(upload), new_task_id(), upload.is_video)

    def _store(self, upload: Upload) -> str:
        content = upload.data if upload.file is None else upload.file
        with self._task_client.metrics.stage("store"):
            return self._storage.photos.put(upload.key, content, upload.content_type)

    def _accept_once(self, upload: Upload, idempotency_key: str) -> Accepted:
        digest = fingerprint(upload.key, upload.chunks())
        record = self._idempotency.find(idempotency_key)
        if record is None:
            mine = IdempotencyRecord(
                new_task_id(), upload.key, None, digest, upload.is_video, time.time()
            )
            record = self._idempotency.make(idempotency_key, mine)
            if record == mine:
                return self._store_and_send(upload, idempotency_key, mine)
        if record.fingerprint != digest:
            raise Problem("key-reused", "this Idempotency-Key came with another photo before")
        if record.version is None:
            taken = self._idempotency.take_over(idempotency_key, time.time())
            return self._store_and_send(upload, idempotency_key, taken)
        return self._resume(record, record.version)

    def _store_and_send(self, upload: Upload, key: str, record: IdempotencyRecord) -> Accepted:
        version = self._store(upload)
        self._idempotency.complete(key, replace(record, version=version))
        return self._send(record.key, version, record.task_id, record.video)

    def _resume(self, record: IdempotencyRecord, version: str) -> Accepted:
        """The task of an earlier request. It is sent once more when nobody here follows it: that
        process may have died before it sent it, and a task that runs twice has one effect."""
        answer = self._results.get(record.task_id)
        if answer is not None:
            return Accepted(record.task_id, record.key, None, answer=answer)
        followed = self._orphaned.take(record.task_id)
        if followed is not None:
            sent = SentTask(record.task_id, followed)
            return Accepted(record.task_id, record.key, sent, record.video)
        if self._task_client.in_flight.holds(record.task_id):
            raise in_progress()
        return self._send(record.key, version, record.task_id, record.video)

    def _send(self, key: str, version: str, task_id: str, video: bool) -> Accepted:
        task = recognize_video if video else recognize
        sent = self._task_client.send(task, (key, version), task_id, video=video)
        accepted = Accepted(task_id, key, sent, video)
        log.info("accepted %s", task_id)
        if video:  # it may take long: every process shall know of it, and who cancels what it is
            self._mark(accepted)
        return accepted

    # Waiting

    def wait(self, accepted: Accepted, wait: Wait) -> Answer:
        """The answer. A lost result message costs time, never the answer.

        Raises :class:`AnswerLate` and ``ClientGone``: the task goes on and stays in flight.
        """
        if accepted.answer is not None:
            return accepted.answer
        assert accepted.sent is not None
        try:
            with self._task_client.metrics.stage("answer"):
                answer = self._awaited(accepted.sent, wait)
        except BaseException:  # whatever ends the wait, the task goes on
            self.leave(accepted)
            raise
        accepted.sent.result.forget()
        if accepted.video:
            self._answered_late(accepted.task_id)
        else:
            self._task_client.mark_done(accepted.task_id)
        return answer

    def leave(self, accepted: Accepted) -> None:
        """Follows a task that no request waits for: it stays in flight, and a mark says that its
        answer is still to come, to whichever process is asked."""
        if accepted.sent is None:
            return
        self._orphaned.follow(accepted.task_id, accepted.sent.result)
        self._mark(accepted)

    def _mark(self, accepted: Accepted) -> None:
        try:
            self._storage.state.put(layout.accepted(accepted.task_id), accepted.key.encode())
        except AwsError as error:
            log.warning("%s not marked as accepted: %s", accepted.task_id, error)

    def _answered_late(self, task_id: str) -> None:
        self._task_client.mark_done(task_id)
        try:
            self._storage.state.delete(layout.accepted(task_id))
        except AwsError as error:
            log.warning("mark of %s not removed: %s", task_id, error)

    def _awaited(self, sent: SentTask, wait: Wait) -> Answer:
        half_way = replace(wait, deadline=(time.monotonic() + wait.deadline) / 2)
        try:
            for until in (half_way, wait):
                reply = self._task_client.wait_for_result(sent, until)
                if reply is None or reply.get("outcome") == STORED:
                    answer = self._on_record(sent.task_id)
                else:
                    answer = Answer.from_dict(reply)
                if answer is not None:
                    return answer
        except ResponseQueueLost:
            return self._watched(sent, wait)
        raise AnswerLate(sent.task_id)

    def _watched(self, sent: SentTask, wait: Wait) -> Answer:
        """The response queue is lost (somebody deleted it): only then is the record polled."""
        pause = FIRST_PAUSE
        while True:
            answer = self._on_record(sent.task_id)
            if answer is not None:
                return answer
            left = self._task_client.left(sent, wait)
            if left <= 0:
                raise AnswerLate(sent.task_id)
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _on_record(self, task_id: str) -> Answer | None:
        """The record, or none; S3 being away is no reason to end a wait."""
        try:
            return self._results.get(task_id)
        except AwsError as error:
            log.warning("record of %s not readable now: %s", task_id, error)
            return None

    # Asking later

    def result(self, task_id: str) -> Answer | None:
        """The answer on record; raises :class:`AwsError`."""
        return self._results.get(task_id)

    def progress(self, task_id: str) -> dict[str, Any]:
        """How far a video is, as its worker told last; nothing when it told nothing."""
        return VideoStore(self._storage.state, task_id).progress()

    def picture(self, task_id: str, name: str) -> bytes | None:
        """A picture of a video's answer, or none."""
        return VideoStore(self._storage.state, task_id).picture(name)

    def cancel(self, task_id: str) -> None:
        """Ends a task by giving it an answer; whoever writes the record first decides.

        Raises :class:`Problem` when it was never accepted, when it is answered, and while a request
        waits for a photo.
        """
        marked = self._storage.state.find(layout.accepted(task_id))
        if marked is None and self._results.get(task_id) is None:
            if self._task_client.in_flight.holds(task_id):
                raise in_progress()
            raise Problem("result-unknown", "no such result")
        key = marked.data.decode() if marked else ""
        recorded = self._results.create(
            Answer(task_id, key, None, "cancelled", code="cancelled", detail="cancelled on request")
        )
        if recorded.outcome != "cancelled":
            raise Problem("answered-already", "there is an answer already")

    def expects(self, task_id: str) -> bool:
        """Whether the task was accepted, here or elsewhere, and its answer is still to come."""
        known_here = self._task_client.in_flight.holds(task_id)
        return known_here or self._storage.state.find(layout.accepted(task_id)) is not None
