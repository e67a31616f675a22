"""Who is known, asked and changed over HTTP: the only module here that knows how such requests go.

The names are read from the gallery's file. All else needs the engine, which lives in workers: the
photos go to the state bucket, a task does the work, its answer rings.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery.utils import uuid
from celery_sqs.errors import ResponseQueueLost

from facerec_tasks.errors import AwsError, NotFound
from facerec_tasks.recognition.gallery.header import people
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from webapp.http.errors import STATUS, Problem, retry_later
from webapp.http.uploads import Upload
from webapp.services.task_client import TaskClient, never_gone

log = logging.getLogger(__name__)

_TASKS = "facerec_tasks.people_tasks."

Gone = Callable[[], bool]


class PeopleService:
    """One per process. Refusals come as :class:`Problem`, others as ``AwsError``."""

    def __init__(self, state: StateBucket, task_client: TaskClient) -> None:
        self._state = state
        self._task_client = task_client
        self._etag: str | None = None
        self._people: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def people(self) -> dict[str, int]:
        """Name and number of photos of everybody, by name."""
        return {name: len(photos) for name, photos in self._known().items()}

    def photo(self, name: str, number: int) -> bytes:
        """One of a person's photos, as it was enrolled; raises :class:`Problem`."""
        photos = self._known().get(name)
        if photos is None:
            raise Problem("no-such-person", "nobody has this name")
        photo = photos[number] if number < len(photos) else ""
        stored = self._state.find(layout.gallery_photo(photo)) if photo else None
        if stored is None:
            raise Problem("not-found", "no such photo")
        return stored.data

    def _known(self) -> dict[str, tuple[str, ...]]:
        with self._lock:
            try:
                stored = self._state.get(layout.GALLERY_CURRENT, if_none_match=self._etag)
            except NotFound:
                return {}
            if stored is not None:
                self._people, self._etag = people(stored.data), stored.etag
            return self._people

    def enrol(
        self, name: str, photos: Sequence[Upload], strict: bool, deadline: float, gone: Gone
    ) -> dict[str, Any]:
        """Enrols photos of one person; what is known already is not added again."""
        upload = self._put(photos)
        arguments = (name, upload, len(photos), strict)
        reply = self._ask("enrol", arguments, deadline, gone)
        self._erase(upload, len(photos))
        self._task_client.announce("refresh_gallery")
        return _value(reply)

    def forget(self, name: str, deadline: float, gone: Gone) -> None:
        """Forgets a person and every photo of theirs."""
        reply = self._ask("forget", (name,), deadline, gone)
        self._task_client.announce("refresh_gallery")
        _value(reply)

    def rename(self, name: str, new: str, deadline: float, gone: Gone) -> dict[str, Any]:
        """Gives a person another name, which must be nobody else's."""
        reply = self._ask("rename", (name, new), deadline, gone)
        self._task_client.announce("refresh_gallery")
        return _value(reply)

    def verify(self, name: str, photo: Upload, deadline: float, gone: Gone) -> dict[str, Any]:
        """Whether that person is on the photo."""
        upload = self._put([photo])
        reply = self._ask("verify", (name, upload), deadline, gone)
        self._erase(upload, 1)
        return _value(reply)

    def _ask(
        self, task: str, arguments: tuple[Any, ...], deadline: float, gone: Gone = never_gone
    ) -> dict[str, Any]:
        sent = self._task_client.send(_TASKS + task, arguments, uuid())
        try:
            reply = self._task_client.wait_for_result(sent, deadline, gone)
        except ResponseQueueLost as error:
            raise retry_later("aws-unavailable", "the answer was lost; repeat it") from error
        finally:
            sent.result.forget()
            self._task_client.mark_done(sent.task_id)
        if reply is None:
            raise Problem("late", "no answer yet; it may still be done, and may be repeated")
        return reply

    def _put(self, photos: Sequence[Upload]) -> str:
        """Where the worker finds the photos. What a killed process leaves is purged by age."""
        upload: str = uuid()
        for number, photo in enumerate(photos):
            self._state.put(layout.upload(upload, number), photo.data)
        return upload

    def _erase(self, upload: str, count: int) -> None:
        try:
            for number in range(count):
                self._state.erase(layout.upload(upload, number))
        except AwsError as error:
            log.warning("photos of %s not erased, a purge will: %s", upload, error)


def _value(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply, or the problem it tells of."""
    if "code" not in reply:
        return reply
    code = reply["code"] if reply["code"] in STATUS else "internal"
    more = {k: v for k, v in reply.items() if k not in ("code", "detail")}
    raise Problem(code, str(reply.get("detail", code)), more=more)
