"""Requests to workers: one method for each task.

The engine lives in workers: photos and lists go to the state bucket, a task does the work, its
answer comes back as a result.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NewType, TypeVar, cast

from celery.utils import uuid
from celery_sqs.errors import ResponseQueueLost

from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.gallery.identifiers import new_id
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.storage.uploads import BY_KEY, Uploads
from webapp.http.errors import STATUS, Problem, retry_later
from webapp.http.schemas import (
    Compared,
    Detected,
    Embedded,
    Enrolled,
    NamedFaces,
    PersonSummary,
    Searched,
    Undone,
    UnknownGroups,
    Verified,
)
from webapp.http.uploads import Upload
from webapp.services.task_client import TaskClient, Wait

MAX_ARGUMENTS = 600
"""Bytes of arguments that travel. A message of the request queue has 1,024, Celery takes 300."""
_TASKS = "facerec_tasks.people_tasks."

Source = NewType("Source", tuple[object, ...])
"""What a worker reads a photo by."""
Reply = dict[str, Any]
T = TypeVar("T")


def stored_photo(key: str, version: str | None = None) -> Source:
    """A photo that lies in the in-bucket already."""
    return Source(("photo", key, version))


class WorkerRequests:
    """One per process. Refusals come as :class:`~webapp.http.errors.Problem`."""

    def __init__(self, state: StateBucket, task_client: TaskClient) -> None:
        self._uploads = Uploads(state)
        self._task_client = task_client

    @contextmanager
    def uploaded(self, photo: bytes) -> Iterator[Source]:
        """A photo where workers find it, until it is erased."""
        with self._upload(photo) as upload:
            del photo  # whoever waits for a worker holds no photo
            yield Source(("upload", upload, 0))

    # Faces that are not kept

    def detect(self, photo: Source, wait: Wait) -> Detected:
        """The faces of a photo."""
        return self._ask(Detected, "detect", wait, photo)

    def embed(self, photo: Source, wait: Wait) -> Embedded:
        """Its faces with their embeddings."""
        return self._ask(Embedded, "embed", wait, photo, wait.collection)

    def compare(self, source: Source, target: Source, wait: Wait) -> Compared:
        """The faces of ``target``, each with its distance to the largest of ``source``."""
        return self._ask(Compared, "compare", wait, source, target, wait.collection)

    def search(
        self, photo: Source, limit: int, threshold: float | None, quality: float, wait: Wait
    ) -> Searched:
        """Its faces, each with the nearest people; ``quality`` is the least sharpness."""
        arguments = (photo, wait.collection, limit, threshold, quality)
        return self._ask(Searched, "search", wait, *arguments)

    def search_faces(self, photo: Source, limit: int, least: float, wait: Wait) -> Reply:
        """The enrolled faces most like the largest one of a photo; ``least`` similarity."""
        return self._ask(Reply, "search_faces", wait, photo, wait.collection, limit, least)

    def search_by_face(self, face: str, limit: int, least: float, wait: Wait) -> Reply:
        """The enrolled faces most like another enrolled one."""
        return self._ask(Reply, "search_by_face", wait, face, wait.collection, limit, least)

    # People and their faces

    def index(
        self, photo: Source, name: str, max_faces: int | None, strict: bool, wait: Wait
    ) -> Reply:
        """Enrolls the faces of a photo; see :func:`facerec_tasks.tasks.faces.index`."""
        arguments = (photo, wait.collection, name, max_faces, strict)
        return self._change(Reply, "index", wait, *arguments)

    def enrol(
        self, person: str, photos: Sequence[Upload], strict: bool, wait: Wait, new_name: str = ""
    ) -> Enrolled:
        """Enrolls photos of one person; what is known already is not added again.

        ``person`` is an id or a name; an id nobody has makes a person called ``new_name``.
        """
        with self._upload(*(photo.data for photo in photos)) as upload:
            arguments = (person, upload, len(photos), strict, wait.collection, new_name)
            return self._change(Enrolled, "enrol", wait, *arguments)

    def forget(self, person: str, wait: Wait) -> None:
        """Forgets a person and every photo of theirs."""
        self._change(Reply, "forget", wait, person, wait.collection)

    def forget_faces(self, faces: Sequence[str], wait: Wait) -> Reply:
        """Forgets single faces: ids ``forgotten``, and ``missing`` ones."""
        with self._upload(_listed(faces)) as upload:
            return self._change(Reply, "forget_faces", wait, upload, wait.collection)

    def rename(self, person: str, new: str, wait: Wait, *, unique: bool = False) -> PersonSummary:
        """Gives a person another name; with ``unique`` it must be nobody else's."""
        return self._change(PersonSummary, "rename", wait, person, new, wait.collection, unique)

    def merge(self, person: str, other: str, wait: Wait) -> PersonSummary:
        """Gives ``person`` the faces of ``other``, who is gone."""
        return self._change(PersonSummary, "merge", wait, person, other, wait.collection)

    def move(self, faces: Sequence[str], person: str, wait: Wait) -> PersonSummary:
        """Gives faces to another person."""
        return self._move(faces, person, "", wait)

    def split(self, faces: Sequence[str], name: str, wait: Wait) -> PersonSummary:
        """Makes faces a person of their own."""
        return self._move(faces, new_id(), name, wait)

    def _move(self, faces: Sequence[str], person: str, name: str, wait: Wait) -> PersonSummary:
        with self._upload(_listed(faces)) as upload:
            arguments = (upload, person, name, wait.collection)
            return self._change(PersonSummary, "move_faces", wait, *arguments)

    def verify(self, person: str, photo: Upload, wait: Wait) -> Verified:
        """Whether that person is on the photo."""
        with self._upload(photo.data) as upload:
            return self._ask(Verified, "verify", wait, person, upload, wait.collection)

    # Collections

    def create_collection(self, collection: str, wait: Wait) -> None:
        """Raises ``collection-exists``."""
        self._ask(Reply, "create_collection", wait, collection)

    def delete_collection(self, collection: str, wait: Wait) -> None:
        """Erases everybody in it; raises ``no-such-collection``."""
        self._change(Reply, "delete_collection", wait, collection)

    def undo(self, wait: Wait) -> Undone:
        """Makes the collection what it was before its last change."""
        return self._change(Undone, "undo", wait, wait.collection)

    # Faces nobody knows

    def unknown_groups(self, wait: Wait) -> UnknownGroups:
        """Groups of unknown faces, the largest first."""
        return self._ask(UnknownGroups, "group_unknown", wait)

    def name_group(self, group: str, person: str, name: str, wait: Wait) -> NamedFaces:
        """A group is that person, by id, or a new one called ``name``."""
        return self._change(NamedFaces, "name_group", wait, group, person or new_id(), name)

    def dismiss_group(self, group: str, wait: Wait) -> None:
        """Nobody wants to know who that is."""
        self._ask(Reply, "dismiss_group", wait, group)

    def name_face(self, task_id: str, face: int, person: str, name: str, wait: Wait) -> NamedFaces:
        """A face of a past answer is that person, or a new one called ``name``."""
        arguments = (task_id, face, person or new_id(), name)
        return self._change(NamedFaces, "confirm_face", wait, *arguments)

    # How all of them go

    def _ask(self, kind: type[T], task: str, wait: Wait, *arguments: Any) -> T:
        """The value of a task, which is of that kind."""
        written = json.dumps(arguments, ensure_ascii=False).encode()
        if len(written) <= MAX_ARGUMENTS:
            return cast(T, self._value(task, arguments, wait))
        with self._upload(written) as upload:
            return cast(T, self._value(task, (BY_KEY, upload), wait))

    def _change(self, kind: type[T], task: str, wait: Wait, *arguments: Any) -> T:
        """As :meth:`_ask`, of a task that changes a gallery: workers are told afterwards."""
        try:
            return self._ask(kind, task, wait, *arguments)
        finally:
            self._task_client.announce("refresh_gallery")

    def _value(self, task: str, arguments: tuple[Any, ...], wait: Wait) -> Reply:
        """What the worker replied; raises the problem it tells of."""
        sent = self._task_client.send(_TASKS + task, arguments, uuid())
        try:
            reply = self._task_client.wait_for_result(sent, wait)
            if reply is not None and "stored" in reply:
                reply = self._uploads.take_reply(reply["stored"])
        except (ResponseQueueLost, NotFound) as error:
            raise retry_later("aws-unavailable", "the answer was lost; repeat it") from error
        finally:
            sent.result.forget()
            self._task_client.mark_done(sent.task_id)
        if reply is None:
            raise Problem("late", "no answer yet; it may still be done, and may be repeated")
        if "code" in reply:
            code = reply["code"] if reply["code"] in STATUS else "internal"
            more = {k: v for k, v in reply.items() if k not in ("code", "detail")}
            raise Problem(code, str(reply.get("detail", code)), more=more)
        return reply

    @contextmanager
    def _upload(self, *parts: bytes) -> Iterator[str]:
        """Puts what is too large for a message where workers find it, by this id, and erases it."""
        upload, count = self._uploads.put(parts), len(parts)
        del parts
        try:
            yield upload
        finally:
            self._uploads.erase(upload, count)


def _listed(faces: Sequence[str]) -> bytes:
    return json.dumps(list(faces)).encode()
