"""People by name, as before they had ids: deprecated, kept for clients that know no other.

A name that several people bear is answered 409 with their ids. :mod:`.people_v1` succeeds this.
"""

import unicodedata
from functools import partial
from typing import TypeVar

from flask import Response

from facerec_tasks.recognition.gallery.identifiers import is_id, new_id
from facerec_tasks.recognition.gallery.records import PersonRecord
from webapp.http import forms
from webapp.http.errors import Problem
from webapp.http.operation import ANY, CHANGE, NAME, PHOTO, READ, UPLOAD, Operation, photos
from webapp.http.parameters import FORCE
from webapp.http.people_v1 import MAX_PHOTOS, VERDICT, added
from webapp.http.responses import Created, NoContent, Photo, Rendered
from webapp.http.schemas import Enrolled, PeopleList, PersonSummary, Verified
from webapp.http.worker_views import WorkerViews

DEPRECATED = {
    "Deprecation": "@1764374400",  # 2025-11-29, as RFC 9745 writes it
    "Link": '</v1/people>; rel="successor-version"',
}


R = TypeVar("R", bound=Response)
_operation = partial(Operation, deprecated=True)


class PeopleViews(WorkerViews):
    """The views of people."""

    @_operation("people", (*ANY, 500))
    def listing(self) -> Rendered[PeopleList]:
        """``GET /people``: everybody, with the number of photos."""
        known = self.enrolled.all()
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
        strict = not FORCE()
        with self._waiting() as wait:
            with self.task_client.upload_slot():
                name = forms.name()
                files = forms.photos(MAX_PHOTOS, self.settings.max_upload_bytes)
            person, new_name = (new_id(), name) if is_id(name) else (name, "")
            done = self.workers.enrol(person, files, strict, wait, new_name)
        return _deprecated(Created(done, added(done)))

    @_operation("forget", CHANGE)
    def forget(self, name: str) -> NoContent:
        """``DELETE /people/<name>``: erase a person: embeddings, photos, and every old version."""
        with self._waiting() as wait:
            self.workers.forget(self._named(name).id, wait)
        return _deprecated(NoContent())

    @_operation("rename", CHANGE, form={"name": NAME})
    def rename(self, name: str) -> Rendered[PersonSummary]:
        """``PATCH /people/<name>``: give a person another name, that nobody has."""
        with self._waiting() as wait:
            new = forms.name()
            done = self.workers.rename(self._named(name).id, new, wait, unique=True)
        return _deprecated(Rendered(done, f"{done['name']}\n"))

    @_operation("photo", (*READ, 405))  # 405: a number below 0 is part of the name
    def photo(self, name: str, number: int) -> Photo:
        """``GET /people/<name>/photos/<n>``: a photo they were enrolled from, n from 0."""
        faces = self._named(name).faces
        if number >= len(faces):
            raise Problem("not-found", "no such photo")
        return _deprecated(Photo(self.enrolled.photo(faces[number])))

    @_operation("verify", (*UPLOAD, 404), form={forms.FIELD: PHOTO}, text=VERDICT)
    def verify(self, name: str) -> Rendered[Verified]:
        """``POST /people/<name>/verify``: is the largest face of a photo that person's?"""
        with self._waiting() as wait:
            with self.task_client.upload_slot():
                (photo,) = forms.photos(1, self.settings.max_upload_bytes)
            found = self.workers.verify(self._named(name).id, photo, wait)
        return _deprecated(Rendered(found, found["outcome"]))

    def _named(self, name: str) -> PersonRecord:
        spelled = unicodedata.normalize("NFC", forms.checked_name(name))
        return self.enrolled.named(spelled)


def _deprecated(response: R) -> R:
    response.headers.update(DEPRECATED)
    return response
