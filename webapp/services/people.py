"""Who is enrolled, asked and changed over HTTP: the only module that knows how such requests go.

People are read from the gallery's file. All else needs the engine, which lives in workers: photos
and lists go to the state bucket, a task does the work, its answer comes back as a result.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from celery.utils import uuid
from celery_sqs.errors import ResponseQueueLost

from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.gallery.identifiers import new_id
from facerec_tasks.storage.collections import DEFAULT
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.storage.uploads import BY_KEY, Uploads
from webapp.http.errors import STATUS, Problem, retry_later
from webapp.http.schemas import Enrolled, PersonSummary, Undone, Verified
from webapp.http.uploads import Upload
from webapp.services.enrolled_people import EnrolledPeople
from webapp.services.task_client import TaskClient, never_gone

log = logging.getLogger(__name__)

MAX_ARGUMENTS = 600
"""Bytes of arguments that travel. A message of the request queue has 1,024, Celery takes 300."""
_TASKS = "facerec_tasks.people_tasks."

Gone = Callable[[], bool]
Reply = dict[str, Any]


@dataclass(frozen=True)
class Wait:
    """Until when a request waits for its worker, and for which collection it came."""

    deadline: float
    """Monotonic seconds."""
    gone: Gone = never_gone
    """Whether the client hung up."""
    collection: str = DEFAULT


class WorkerRequests:
    """Asks workers and waits for their values. Refusals come as :class:`Problem`."""

    def __init__(self, state: StateBucket, task_client: TaskClient) -> None:
        self._uploads = Uploads(state)
        self._task_client = task_client

    @contextmanager
    def upload(self, *parts: bytes) -> Iterator[str]:
        """Puts what is too large for a message where workers find it, by this id, and erases it."""
        upload = self._uploads.put(parts)
        try:
            yield upload
        finally:
            self._uploads.erase(upload, len(parts))

    def ask(self, task: str, arguments: tuple[Any, ...], wait: Wait) -> Reply:
        """The value of a task."""
        written = json.dumps(arguments, ensure_ascii=False).encode()
        if len(written) > MAX_ARGUMENTS:
            with self.upload(written) as upload:
                return self._ask(task, (BY_KEY, upload), wait)
        return self._ask(task, arguments, wait)

    def _ask(self, task: str, arguments: tuple[Any, ...], wait: Wait) -> Reply:
        sent = self._task_client.send(_TASKS + task, arguments, uuid())
        try:
            reply = self._task_client.wait_for_result(sent, wait.deadline, wait.gone)
        except ResponseQueueLost as error:
            raise retry_later("aws-unavailable", "the answer was lost; repeat it") from error
        finally:
            sent.result.forget()
            self._task_client.mark_done(sent.task_id)
        if reply is None:
            raise Problem("late", "no answer yet; it may still be done, and may be repeated")
        return _value(self._whole(reply))

    def change(self, task: str, arguments: tuple[Any, ...], wait: Wait) -> Reply:
        """As :meth:`ask`, of a task that changes a gallery: workers are told afterwards."""
        try:
            return self.ask(task, arguments, wait)
        finally:
            self._task_client.announce("refresh_gallery")

    def _whole(self, reply: Reply) -> Reply:
        if "stored" not in reply:
            return reply
        try:
            return self._uploads.take_reply(reply["stored"])
        except NotFound as error:
            raise retry_later("aws-unavailable", "the answer was lost; repeat it") from error


class PeopleService:
    """People of any collection, by id. One per process."""

    def __init__(self, enrolled: EnrolledPeople, workers: WorkerRequests) -> None:
        self.enrolled = enrolled
        self._workers = workers

    def enrol(
        self, person: str, photos: Sequence[Upload], strict: bool, wait: Wait, new_name: str = ""
    ) -> Enrolled:
        """Enrolls photos of one person; what is known already is not added again.

        ``person`` is an id or a name; an id nobody has makes a person called ``new_name``.
        """
        with self._workers.upload(*(photo.data for photo in photos)) as upload:
            arguments = (person, upload, len(photos), strict, wait.collection, new_name)
            return cast(Enrolled, self._workers.change("enrol", arguments, wait))

    def forget(self, person: str, wait: Wait) -> None:
        """Forgets a person and every photo of theirs."""
        self._workers.change("forget", (person, wait.collection), wait)

    def forget_faces(self, faces: Sequence[str], wait: Wait) -> Reply:
        """Forgets single faces: ids ``forgotten``, and ``missing`` ones."""
        with self._listed(faces) as upload:
            return self._workers.change("forget_faces", (upload, wait.collection), wait)

    def rename(self, person: str, new: str, wait: Wait, *, unique: bool = False) -> PersonSummary:
        """Gives a person another name; with ``unique`` it must be nobody else's."""
        return cast(
            PersonSummary,
            self._workers.change("rename", (person, new, wait.collection, unique), wait),
        )

    def merge(self, person: str, other: str, wait: Wait) -> PersonSummary:
        """Gives ``person`` the faces of ``other``, who is gone."""
        return cast(
            PersonSummary, self._workers.change("merge", (person, other, wait.collection), wait)
        )

    def move(self, faces: Sequence[str], person: str, wait: Wait) -> PersonSummary:
        """Gives faces to another person."""
        with self._listed(faces) as upload:
            arguments = (upload, person, "", wait.collection)
            return cast(PersonSummary, self._workers.change("move_faces", arguments, wait))

    def split(self, faces: Sequence[str], name: str, wait: Wait) -> PersonSummary:
        """Makes faces a person of their own."""
        with self._listed(faces) as upload:
            arguments = (upload, new_id(), name, wait.collection)
            return cast(PersonSummary, self._workers.change("move_faces", arguments, wait))

    def undo(self, wait: Wait) -> Undone:
        """Makes the collection what it was before its last change."""
        return cast(Undone, self._workers.change("undo", (wait.collection,), wait))

    def verify(self, person: str, photo: Upload, wait: Wait) -> Verified:
        """Whether that person is on the photo."""
        with self._workers.upload(photo.data) as upload:
            return cast(
                Verified, self._workers.ask("verify", (person, upload, wait.collection), wait)
            )

    def _listed(self, faces: Sequence[str]) -> AbstractContextManager[str]:
        return self._workers.upload(json.dumps(list(faces)).encode())


def _value(reply: Reply) -> Reply:
    """The reply, or the problem it tells of."""
    if "code" not in reply:
        return reply
    code = reply["code"] if reply["code"] in STATUS else "internal"
    more = {k: v for k, v in reply.items() if k not in ("code", "detail")}
    raise Problem(code, str(reply.get("detail", code)), more=more)
