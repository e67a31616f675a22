"""People by id, in any collection: ``/v1/people/…`` and ``/v1/collections/<name>/people/…``."""

from collections.abc import Callable

from flask import Response, request

from facerec_tasks.recognition.gallery.identifiers import is_id, new_id
from facerec_tasks.recognition.gallery.records import FaceRecord, PersonRecord
from facerec_tasks.storage.collections import DEFAULT
from webapp.http import forms
from webapp.http.errors import Problem
from webapp.http.operation import CHANGE, ID, NAME, PHOTO, READ, UPLOAD, Operation, photos
from webapp.http.parameters import FORCE, Text, Whole
from webapp.http.people import MAX_PHOTOS, VERDICT, checked_name, read_photos, shown, waiting
from webapp.http.people_pages import page_of
from webapp.http.responses import Created, NoContent, Photo, Rendered
from webapp.http.schemas import (
    Enrolled,
    EnrolledFace,
    ListedPerson,
    PeoplePage,
    Person,
    PersonSummary,
    Undone,
    Verified,
)
from webapp.http.worker_views import WorkerViews
from webapp.services.people import PeopleService

LIMIT = Whole("limit", "People of a page.", 100, 1, 1000)
AFTER = Text("after", "The token ``next`` of the page before.")
NAME_CONTAINS = Text("name", "Only people whose name contains this.")
_PHOTOS = {forms.FIELD: photos(MAX_PHOTOS)}

Route = tuple[str, str, Callable[..., Response], str]


class PeopleV1(WorkerViews[PeopleService]):
    """The views of people, each with the collection it is about."""

    def routes(self) -> list[Route]:
        """Method, path below a collection, view, and the scope a key needs."""
        face = "/people/<person>/faces/<face>"
        return [
            ("GET", "/people", self.listing, "people:read"),
            ("POST", "/people", self.create, "people:write"),
            ("GET", "/people/<person>", self.show, "people:read"),
            ("PATCH", "/people/<person>", self.rename, "people:write"),
            ("DELETE", "/people/<person>", self.forget, "people:write"),
            ("POST", "/people/<person>/faces", self.enrol, "people:write"),
            ("POST", "/people/<person>/merge", self.merge, "people:write"),
            ("POST", "/people/<person>/verify", self.verify, "recognize"),
            ("GET", face, self.face, "people:read"),
            ("PATCH", face, self.move, "people:write"),
            ("DELETE", face, self.forget_face, "people:write"),
            ("GET", face + "/photo", self.photo, "people:read"),
            ("POST", "/undo", self.undo, "people:write"),
        ]

    @Operation("listPeople", READ, parameters=(LIMIT, AFTER, NAME_CONTAINS))
    def listing(self, collection: str = DEFAULT) -> Rendered[PeoplePage]:
        """``GET /v1/people?limit=&after=&name=``: people by name, in pages."""
        known = self._service.enrolled.all(collection)
        wanted = NAME_CONTAINS()
        if wanted is not None:
            known = tuple(p for p in known if wanted.casefold() in p.name.casefold())
        page = page_of(known, LIMIT(), AFTER())
        body: PeoplePage = {"people": [_summary(person) for person in page.people]}
        if page.next:
            body["next"] = page.next
        text = "".join(f"{p.id}\t{p.name}\t{len(p.faces)}\n" for p in page.people)
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
        wait = waiting(self._settings, self._task_client, collection)
        strict = not FORCE()
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                name = checked_name(request.form.get("name", ""))
                person = _id(request.form.get("id") or new_id())
                files = read_photos(MAX_PHOTOS, self._settings)
            done = self._service.enrol(person, files, strict, wait, name)
        response = Created(done, f"{done['id']}\t{done['name']}\n")
        response.headers["Location"] = _address(collection, person)
        return response

    @Operation("showPerson", READ)
    def show(self, person: str, collection: str = DEFAULT) -> Rendered[Person]:
        """``GET /v1/people/<id>``: name and enrolled faces."""
        found = self._service.enrolled.one(person, collection)
        faces = [_face(face) for face in found.faces]
        text = "".join(f"{face.id}\n" for face in found.faces)
        return Rendered({"id": found.id, "name": found.name, "faces": faces}, text)

    @Operation("renamePerson", CHANGE, form={"name": NAME})
    def rename(self, person: str, collection: str = DEFAULT) -> Rendered[PersonSummary]:
        """``PATCH /v1/people/<id>``: give a person another name; others may have it too."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            new = checked_name(request.form.get("name", ""))
            done = self._service.rename(_id(person), new, wait)
        return Rendered(done, f"{done['name']}\n")

    @Operation("forgetPerson", CHANGE)
    def forget(self, person: str, collection: str = DEFAULT) -> NoContent:
        """``DELETE /v1/people/<id>``: erase a person: embeddings, photos, and every old version."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            self._service.forget(_id(person), wait)
        return NoContent()

    @Operation("enrolFaces", (*UPLOAD, 404), parameters=(FORCE,), form=_PHOTOS)
    def enrol(self, person: str, collection: str = DEFAULT) -> Created[Enrolled]:
        """``POST /v1/people/<id>/faces``: enroll further photos of a person."""
        wait = waiting(self._settings, self._task_client, collection)
        strict = not FORCE()
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                files = read_photos(MAX_PHOTOS, self._settings)
            done = self._service.enrol(_id(person), files, strict, wait)
        text = f"{done['name']}: {done['enrolled']} photos enrolled, {len(done['refused'])} not\n"
        return Created(done, text)

    @Operation("mergePeople", CHANGE, form={"other": ID})
    def merge(self, person: str, collection: str = DEFAULT) -> Rendered[PersonSummary]:
        """``POST /v1/people/<id>/merge``: take over the faces of another person, who is gone."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            other = _id(request.form.get("other", ""))
            if other == person:
                raise Problem("bad-request", "a person cannot be merged with themselves")
            done = self._service.merge(_id(person), other, wait)
        return Rendered(done, f"{done['name']}\t{done['photos']}\n")

    @Operation("verifyPerson", (*UPLOAD, 404), form={forms.FIELD: PHOTO}, is_raw=True, text=VERDICT)
    def verify(self, person: str, collection: str = DEFAULT) -> Rendered[Verified]:
        """``POST /v1/people/<id>/verify``: is the largest face of a photo that person's?"""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                photo = forms.one_photo(self._settings.max_upload_bytes)
            found = self._service.verify(_id(person), photo, wait)
        return Rendered(found, found["outcome"])

    # Faces

    @Operation("showFace", READ)
    def face(self, person: str, face: str, collection: str = DEFAULT) -> Rendered[EnrolledFace]:
        """``GET /v1/people/<id>/faces/<id>``: where on its photo a face is."""
        found = self._service.enrolled.face(person, face, collection)
        return Rendered(_face(found), f"{found.id}\n")

    @Operation("facePhoto", READ)
    def photo(self, person: str, face: str, collection: str = DEFAULT) -> Photo:
        """``GET /v1/people/<id>/faces/<id>/photo``: the photo a face was enrolled from."""
        found = self._service.enrolled.face(person, face, collection)
        return shown(self._service.enrolled.photo(found, collection))

    @Operation("moveFace", CHANGE, form={"person": ID, "name": NAME}, optional=("person", "name"))
    def move(self, person: str, face: str, collection: str = DEFAULT) -> Rendered[PersonSummary]:
        """``PATCH /v1/people/<id>/faces/<id>``: give a face to ``person``, or to a new ``name``."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            self._service.enrolled.face(person, face, collection)
            if owner := request.form.get("person"):
                done = self._service.move([face], _id(owner), wait)
            else:
                name = checked_name(request.form.get("name", ""))
                done = self._service.split([face], name, wait)
        return Rendered(done, f"{done['id']}\t{done['name']}\n")

    @Operation("forgetFace", CHANGE)
    def forget_face(self, person: str, face: str, collection: str = DEFAULT) -> NoContent:
        """``DELETE /v1/people/<id>/faces/<id>``: erase a face, and its photo if no other is on it.

        A person whose last face goes is gone too.
        """
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            self._service.enrolled.face(person, face, collection)
            self._service.forget_faces([face], wait)
        return NoContent()

    @Operation("undo", CHANGE)
    def undo(self, collection: str = DEFAULT) -> Rendered[Undone]:
        """``POST /v1/undo``: undo the last change, unless it removed anybody."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            done = self._service.undo(wait)
        return Rendered(done, f"{done['people']} people\n")


def _id(text: str) -> str:
    if not is_id(text):
        raise Problem("no-such-person", "not the id of a person")
    return text


def _address(collection: str, person: str) -> str:
    below = "/v1" if collection == DEFAULT else f"/v1/collections/{collection}"
    return f"{below}/people/{person}"


def _summary(person: PersonRecord) -> ListedPerson:
    return {"id": person.id, "name": person.name, "faces": len(person.faces)}


def _face(face: FaceRecord) -> EnrolledFace:
    found: EnrolledFace = {"id": face.id, "has_photo": bool(face.photo)}
    if face.box:
        found["box"] = face.box[:4]
        found["score"] = face.box.score
    return found
