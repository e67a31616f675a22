"""People by name, as before they had ids: deprecated, kept for clients that know no other.

A name that several people bear is answered 409 with their ids. :mod:`.people_v1` succeeds this.
"""

import time
import unicodedata
from dataclasses import replace
from functools import partial
from typing import TypeVar, get_args

from flask import Response, request

from facerec_tasks.recognition.gallery.identifiers import is_id, new_id
from facerec_tasks.recognition.images.sniff import sniff
from facerec_tasks.settings import Settings
from webapp.http import forms
from webapp.http.errors import Problem, retry_later
from webapp.http.operation import ANY, CHANGE, NAME, PHOTO, READ, UPLOAD, Operation, photos
from webapp.http.parameters import FORCE
from webapp.http.responses import Created, NoContent, Photo, Rendered
from webapp.http.schemas import Enrolled, PeopleList, PersonSummary, Verdict, Verified
from webapp.http.uploads import Upload
from webapp.http.worker_views import WorkerViews
from webapp.services.people import PeopleService, Wait
from webapp.services.task_client import TaskClient

MAX_PHOTOS = 20
"""Photos of one enrollment: more would not be looked at within a task's time limit."""
MAX_NAME_BYTES = 400
"""Bytes of UTF-8 in a name; it travels in a message of at most 1024 bytes."""
VERDICT = {"enum": list(get_args(Verdict))}
DEPRECATED = {
    "Deprecation": "@1764374400",  # 2025-11-29, as RFC 9745 writes it
    "Link": '</v1/people>; rel="successor-version"',
}


R = TypeVar("R", bound=Response)
_operation = partial(Operation, deprecated=True)


class PeopleViews(WorkerViews[PeopleService]):
    """The views of people."""

    @_operation("people", (*ANY, 500))
    def listing(self) -> Rendered[PeopleList]:
        """``GET /people``: everybody, with the number of photos."""
        known = self._service.enrolled.all()
        body: list[PersonSummary] = [
            {"id": p.id, "name": p.name, "photos": len(p.faces)} for p in known
        ]
        text = "".join(f"{p.name}\t{len(p.faces)}\n" for p in known)
        return _deprecated(Rendered({"people": body}, text))

    @_operation(
        "enrol", UPLOAD, parameters=(FORCE,), form={"name": NAME, forms.FIELD: photos(MAX_PHOTOS)}
    )
    def enrol(self) -> Created[Enrolled]:
        """``POST /people``: enroll photos of a person, who may be new."""
        wait = waiting(self._settings, self._task_client)
        strict = not FORCE()
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                name = checked_name(request.form.get("name", ""))
                files = read_photos(MAX_PHOTOS, self._settings)
            person, new_name = (new_id(), name) if is_id(name) else (name, "")
            done = self._service.enrol(person, files, strict, wait, new_name)
        text = f"{done['name']}: {done['enrolled']} photos enrolled, {len(done['refused'])} not\n"
        return _deprecated(Created(done, text))

    @_operation("forget", CHANGE)
    def forget(self, name: str) -> NoContent:
        """``DELETE /people/<name>``: erase a person: embeddings, photos, and every old version."""
        wait = waiting(self._settings, self._task_client)
        with self._task_client.admission_slot():
            self._service.forget(self._id(name), wait)
        return _deprecated(NoContent())

    @_operation("rename", CHANGE, form={"name": NAME})
    def rename(self, name: str) -> Rendered[PersonSummary]:
        """``PATCH /people/<name>``: give a person another name, that nobody has."""
        wait = waiting(self._settings, self._task_client)
        with self._task_client.admission_slot():
            new = checked_name(request.form.get("name", ""))
            done = self._service.rename(self._id(name), new, wait, unique=True)
        return _deprecated(Rendered(done, f"{done['name']}\n"))

    @_operation("photo", (*READ, 405))  # 405: a number below 0 is part of the name
    def photo(self, name: str, number: int) -> Photo:
        """``GET /people/<name>/photos/<n>``: a photo they were enrolled from, n from 0."""
        faces = self._service.enrolled.named(_spelled(name)).faces
        if number >= len(faces):
            raise Problem("not-found", "no such photo")
        return _deprecated(shown(self._service.enrolled.photo(faces[number])))

    @_operation("verify", (*UPLOAD, 404), form={forms.FIELD: PHOTO}, text=VERDICT)
    def verify(self, name: str) -> Rendered[Verified]:
        """``POST /people/<name>/verify``: is the largest face of a photo that person's?"""
        wait = waiting(self._settings, self._task_client)
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                (photo,) = read_photos(1, self._settings)
            found = self._service.verify(self._id(name), photo, wait)
        return _deprecated(Rendered(found, found["outcome"]))

    def _id(self, name: str) -> str:
        return self._service.enrolled.named(_spelled(name)).id


def waiting(settings: Settings, task_client: TaskClient, collection: str | None = None) -> Wait:
    """How long this request waits for its worker; raises :class:`Problem` while stopping."""
    if task_client.refuses_work:
        raise retry_later("stopping", "this process stops; try again")
    deadline = time.monotonic() + settings.answer_timeout
    wait = Wait(deadline, forms.client_gone())
    return replace(wait, collection=collection) if collection else wait


def read_photos(most: int, settings: Settings) -> list[Upload]:
    """The photos of the form, judged; raises :class:`Problem` and ``UploadRejected``."""
    photos = [forms.read(file, settings.max_upload_bytes) for file in forms.files(most)]
    forms.drop_body()
    return photos


def shown(photo: bytes) -> Photo:
    """A photo as it was enrolled."""
    found = sniff(photo)
    media_type = found.media_type if found else None
    return Photo(photo, content_type=media_type or "application/octet-stream")


def checked_name(name: str) -> str:
    """Raises :class:`Problem` for a name no message could carry; workers judge the rest."""
    try:
        octets = len(name.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        octets = 0
    if not 0 < octets <= MAX_NAME_BYTES:
        raise Problem("bad-name", f"a name has 1 to {MAX_NAME_BYTES} bytes")
    return name


def _spelled(name: str) -> str:
    return unicodedata.normalize("NFC", checked_name(name))


def _deprecated(response: R) -> R:
    response.headers.update(DEPRECATED)
    return response
