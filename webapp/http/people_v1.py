"""People by id, in any collection: ``/v1/people/…`` and ``/v1/collections/<name>/people/…``."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import get_args

from flask import request

from facerec_tasks.recognition.gallery.identifiers import new_id
from facerec_tasks.recognition.gallery.records import FaceRecord
from facerec_tasks.storage.collections import DEFAULT
from webapp.http import forms
from webapp.http.errors import Problem
from webapp.http.operation import CHANGE, ID, NAME, PHOTO, READ, UPLOAD, Operation, photos
from webapp.http.paging import page_of
from webapp.http.parameters import FORCE, text, whole
from webapp.http.responses import Created, NoContent, Photo, Rendered
from webapp.http.schemas import (
    Enrolled,
    EnrolledFace,
    PeoplePage,
    Person,
    PersonSummary,
    Undone,
    Verdict,
    Verified,
)
from webapp.http.worker_views import WorkerViews

MAX_PHOTOS = 20
"""Photos of one enrollment: more would not be looked at within a task's time limit."""
VERDICT = {"enum": list(get_args(Verdict))}

LIMIT = whole("limit", "People of a page.", 100, 1, 1000)
AFTER = text("after", "The token ``next`` of the page before.")
NAME_CONTAINS = text("name", "Only people whose name contains this.")
_PHOTOS = {forms.FIELD: photos(MAX_PHOTOS)}


class PeopleV1(WorkerViews):
    """The views of people, each with the collection it is about."""

    @Operation("listPeople", READ, parameters=(LIMIT, AFTER, NAME_CONTAINS))
    def listing(self, collection: str = DEFAULT) -> Rendered[PeoplePage]:
        """``GET /v1/people?limit=&after=&name=``: people by name, in pages."""
        known = self.enrolled.all(collection)
        wanted = NAME_CONTAINS()
        if wanted is not None:
            known = tuple(p for p in known if wanted.casefold() in p.name.casefold())
        token = AFTER()
        after = None if token is None else _position(token)
        people, last = page_of(known, LIMIT(), after, key=lambda p: (p.name, p.id))
        body: PeoplePage = {
            "people": [{"id": p.id, "name": p.name, "faces": len(p.faces)} for p in people]
        }
        if last:
            body["next"] = urlsafe_b64encode(f"{last.name}\n{last.id}".encode()).decode()
        text = "".join(f"{p.id}\t{p.name}\t{len(p.faces)}\n" for p in people)
        return Rendered(body, text)

    @Operation(
        "createPerson",
        (*UPLOAD, 404),
        parameters=(FORCE,),
        form={"name": NAME, "id": ID, **_PHOTOS},
        optional=("id",),
    )
    def create(self, collection: str = DEFAULT) -> Created[Enrolled]:
        """``POST /v1/people``: enroll another person.

        Field ``id``, a UUID of the client's, makes a repetition of the request harmless.
        """
        strict = not FORCE()
        with self._waiting(collection) as wait:
            with self.task_client.upload_slot():
                name = forms.name()
                person = forms.person_id(request.form.get("id") or new_id())
                files = forms.photos(MAX_PHOTOS, self.settings.max_upload_bytes)
            done = self.workers.enrol(person, files, strict, wait, name)
        response = Created(done, f"{done['id']}\t{done['name']}\n")
        response.headers["Location"] = _address(collection, person)
        return response

    @Operation("showPerson", READ)
    def show(self, person: str, collection: str = DEFAULT) -> Rendered[Person]:
        """``GET /v1/people/<id>``: name and enrolled faces."""
        found = self.enrolled.one(person, collection)
        faces = [_face(face) for face in found.faces]
        text = "".join(f"{face.id}\n" for face in found.faces)
        return Rendered({"id": found.id, "name": found.name, "faces": faces}, text)

    @Operation("renamePerson", CHANGE, form={"name": NAME})
    def rename(self, person: str, collection: str = DEFAULT) -> Rendered[PersonSummary]:
        """``PATCH /v1/people/<id>``: give a person another name; others may have it too."""
        with self._waiting(collection) as wait:
            new = forms.name()
            done = self.workers.rename(forms.person_id(person), new, wait)
        return Rendered(done, f"{done['name']}\n")

    @Operation("forgetPerson", CHANGE)
    def forget(self, person: str, collection: str = DEFAULT) -> NoContent:
        """``DELETE /v1/people/<id>``: erase a person: embeddings, photos, and every old version."""
        with self._waiting(collection) as wait:
            self.workers.forget(forms.person_id(person), wait)
        return NoContent()

    @Operation("enrolFaces", (*UPLOAD, 404), parameters=(FORCE,), form=_PHOTOS)
    def enrol(self, person: str, collection: str = DEFAULT) -> Created[Enrolled]:
        """``POST /v1/people/<id>/faces``: enroll further photos of a person."""
        strict = not FORCE()
        with self._waiting(collection) as wait:
            with self.task_client.upload_slot():
                files = forms.photos(MAX_PHOTOS, self.settings.max_upload_bytes)
            done = self.workers.enrol(forms.person_id(person), files, strict, wait)
        return Created(done, added(done))

    @Operation("mergePeople", CHANGE, form={"other": ID})
    def merge(self, person: str, collection: str = DEFAULT) -> Rendered[PersonSummary]:
        """``POST /v1/people/<id>/merge``: take over the faces of another person, who is gone."""
        with self._waiting(collection) as wait:
            other = forms.person_id(request.form.get("other", ""))
            if other == person:
                raise Problem("bad-request", "a person cannot be merged with themselves")
            done = self.workers.merge(forms.person_id(person), other, wait)
        return Rendered(done, f"{done['name']}\t{done['photos']}\n")

    @Operation("verifyPerson", (*UPLOAD, 404), form={forms.FIELD: PHOTO}, is_raw=True, text=VERDICT)
    def verify(self, person: str, collection: str = DEFAULT) -> Rendered[Verified]:
        """``POST /v1/people/<id>/verify``: is the largest face of a photo that person's?"""
        with self._waiting(collection) as wait:
            with self.task_client.upload_slot():
                photo = forms.one_photo(self.settings.max_upload_bytes)
            found = self.workers.verify(forms.person_id(person), photo, wait)
        return Rendered(found, found["outcome"])

    # Faces

    @Operation("showFace", READ)
    def face(self, person: str, face: str, collection: str = DEFAULT) -> Rendered[EnrolledFace]:
        """``GET /v1/people/<id>/faces/<id>``: where on its photo a face is."""
        found = self.enrolled.face(person, face, collection)
        return Rendered(_face(found), f"{found.id}\n")

    @Operation("facePhoto", READ)
    def photo(self, person: str, face: str, collection: str = DEFAULT) -> Photo:
        """``GET /v1/people/<id>/faces/<id>/photo``: the photo a face was enrolled from."""
        found = self.enrolled.face(person, face, collection)
        return Photo(self.enrolled.photo(found, collection))

    @Operation("moveFace", CHANGE, form={"person": ID, "name": NAME}, optional=("person", "name"))
    def move(self, person: str, face: str, collection: str = DEFAULT) -> Rendered[PersonSummary]:
        """``PATCH /v1/people/<id>/faces/<id>``: give a face to ``person``, or to a new ``name``."""
        with self._waiting(collection) as wait:
            self.enrolled.face(person, face, collection)
            if owner := request.form.get("person"):
                done = self.workers.move([face], forms.person_id(owner), wait)
            else:
                name = forms.name()
                done = self.workers.split([face], name, wait)
        return Rendered(done, f"{done['id']}\t{done['name']}\n")

    @Operation("forgetFace", CHANGE)
    def forget_face(self, person: str, face: str, collection: str = DEFAULT) -> NoContent:
        """``DELETE /v1/people/<id>/faces/<id>``: erase a face, and its photo if no other is on it.

        A person whose last face goes is gone too.
        """
        with self._waiting(collection) as wait:
            self.enrolled.face(person, face, collection)
            self.workers.forget_faces([face], wait)
        return NoContent()

    @Operation("undo", CHANGE)
    def undo(self, collection: str = DEFAULT) -> Rendered[Undone]:
        """``POST /v1/undo``: undo the last change, unless it removed anybody."""
        with self._waiting(collection) as wait:
            done = self.workers.undo(wait)
        return Rendered(done, f"{done['people']} people\n")


def _position(token: str) -> tuple[str, str]:
    """Name and id of the last person of the page before."""
    try:
        name, _, id_ = urlsafe_b64decode(token).decode().rpartition("\n")
    except ValueError as error:
        raise Problem("bad-request", "after is a token of the page before") from error
    return name, id_


def added(done: Enrolled) -> str:
    """What became of the photos, in a line."""
    return f"{done['name']}: {done['enrolled']} photos enrolled, {len(done['refused'])} not\n"


def _address(collection: str, person: str) -> str:
    below = "/v1" if collection == DEFAULT else f"/v1/collections/{collection}"
    return f"{below}/people/{person}"


def _face(face: FaceRecord) -> EnrolledFace:
    found: EnrolledFace = {"id": face.id, "has_photo": bool(face.photo)}
    if face.box:
        found["box"] = face.box[:4]
        found["score"] = face.box.score
    return found
