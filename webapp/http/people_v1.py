"""People by id, in any collection: ``/v1/people/…`` and ``/v1/collections/<name>/people/…``."""

from collections.abc import Callable
from typing import Any

from flask import Response, request

from facerec_tasks.recognition.gallery.identifiers import is_id, new_id
from facerec_tasks.recognition.gallery.records import FaceRecord, PersonRecord
from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT
from webapp.http import forms
from webapp.http.errors import Problem
from webapp.http.people import MAX_PHOTOS, checked_name, read_photos, shown, waiting
from webapp.http.people_pages import page_of
from webapp.http.rendering import render
from webapp.services.people import PeopleService
from webapp.services.recognition import RecognitionService
from webapp.services.task_client import TaskClient

PAGE, LARGEST_PAGE = 100, 1000

Route = tuple[str, str, Callable[..., Response], str]


class PeopleV1:
    """The views of people, each with the collection it is about."""

    def __init__(
        self,
        settings: Settings,
        service: PeopleService,
        recognition: RecognitionService,
        task_client: TaskClient,
    ) -> None:
        self._settings = settings
        self._service = service
        self._recognition = recognition
        self._task_client = task_client

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

    def listing(self, collection: str = DEFAULT) -> Response:
        """``GET /v1/people?limit=&after=&name=``: a page of people, by name."""
        known = self._service.enrolled.all(collection)
        wanted = request.args.get("name")
        if wanted is not None:
            known = tuple(p for p in known if wanted.casefold() in p.name.casefold())
        page = page_of(
            known, forms.number("limit", PAGE, 1, LARGEST_PAGE), request.args.get("after")
        )
        body: dict[str, Any] = {"people": [_summary(person) for person in page.people]}
        if page.next:
            body["next"] = page.next
        text = "".join(f"{p.id}\t{p.name}\t{len(p.faces)}\n" for p in page.people)
        return render(body, text)

    def create(self, collection: str = DEFAULT) -> Response:
        """``POST /v1/people``: another person, by ``name`` and one or more ``inputFile``.

        Field ``id``, a UUID of the client's, makes a repetition of the request harmless.
        """
        wait = waiting(self._settings, self._task_client, collection)
        strict = not forms.flag("force", default=False)
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                name = checked_name(request.form.get("name", ""))
                person = _id(request.form.get("id") or new_id())
                photos = read_photos(MAX_PHOTOS, self._settings)
            done = self._service.enrol(person, photos, strict, wait, name)
        response = render(done, f"{done['id']}\t{done['name']}\n", status=201)
        response.headers["Location"] = _address(collection, person)
        return response

    def show(self, person: str, collection: str = DEFAULT) -> Response:
        """``GET /v1/people/<id>``: name and enrolled faces."""
        found = self._service.enrolled.one(person, collection)
        faces = [_face(face) for face in found.faces]
        text = "".join(f"{face.id}\n" for face in found.faces)
        return render({"id": found.id, "name": found.name, "faces": faces}, text)

    def rename(self, person: str, collection: str = DEFAULT) -> Response:
        """``PATCH /v1/people/<id>``: field ``name`` is the new one; others may have it too."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            new = checked_name(request.form.get("name", ""))
            done = self._service.rename(_id(person), new, wait)
        return render(done, f"{done['name']}\n")

    def forget(self, person: str, collection: str = DEFAULT) -> Response:
        """``DELETE /v1/people/<id>``: embeddings, photos, and every old version of both."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            self._service.forget(_id(person), wait)
        return Response(status=204)

    def enrol(self, person: str, collection: str = DEFAULT) -> Response:
        """``POST /v1/people/<id>/faces``: further photos of a person."""
        wait = waiting(self._settings, self._task_client, collection)
        strict = not forms.flag("force", default=False)
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                photos = read_photos(MAX_PHOTOS, self._settings)
            done = self._service.enrol(_id(person), photos, strict, wait)
        text = f"{done['name']}: {done['enrolled']} photos enrolled, {len(done['refused'])} not\n"
        return render(done, text, status=201)

    def merge(self, person: str, collection: str = DEFAULT) -> Response:
        """``POST /v1/people/<id>/merge``: takes the faces of person ``other``, who is gone."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            other = _id(request.form.get("other", ""))
            if other == person:
                raise Problem("bad-request", "a person cannot be merged with themselves")
            done = self._service.merge(_id(person), other, wait)
        return render(done, f"{done['name']}\t{done['photos']}\n")

    def verify(self, person: str, collection: str = DEFAULT) -> Response:
        """``POST /v1/people/<id>/verify``: whether that person is the largest face of a photo."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            with self._recognition.upload_slot():
                photo = forms.one_photo(self._settings.max_upload_bytes)
            found = self._service.verify(_id(person), photo, wait)
        return render(found, str(found["outcome"]))

    # Faces

    def face(self, person: str, face: str, collection: str = DEFAULT) -> Response:
        """``GET /v1/people/<id>/faces/<id>``: where on its photo it is."""
        found = self._service.enrolled.face(person, face, collection)
        return render(_face(found), f"{found.id}\n")

    def photo(self, person: str, face: str, collection: str = DEFAULT) -> Response:
        """``GET /v1/people/<id>/faces/<id>/photo``: the photo it was enrolled from."""
        found = self._service.enrolled.face(person, face, collection)
        return shown(self._service.enrolled.photo(found, collection))

    def move(self, person: str, face: str, collection: str = DEFAULT) -> Response:
        """``PATCH /v1/people/<id>/faces/<id>``: gives it to ``person``, or to a new ``name``."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            self._service.enrolled.face(person, face, collection)
            if owner := request.form.get("person"):
                done = self._service.move([face], _id(owner), wait)
            else:
                name = checked_name(request.form.get("name", ""))
                done = self._service.split([face], name, wait)
        return render(done, f"{done['id']}\t{done['name']}\n")

    def forget_face(self, person: str, face: str, collection: str = DEFAULT) -> Response:
        """``DELETE /v1/people/<id>/faces/<id>``: with its photo, unless another face is on it.

        A person whose last face goes is gone too.
        """
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            self._service.enrolled.face(person, face, collection)
            self._service.forget_faces([face], wait)
        return Response(status=204)

    def undo(self, collection: str = DEFAULT) -> Response:
        """``POST /v1/undo``: what the last change did to people, unless it removed any."""
        wait = waiting(self._settings, self._task_client, collection)
        with self._task_client.admission_slot():
            done = self._service.undo(wait)
        return render(done, f"{done['people']} people\n")


def _id(text: str) -> str:
    if not is_id(text):
        raise Problem("no-such-person", "not the id of a person")
    return text


def _address(collection: str, person: str) -> str:
    below = "/v1" if collection == DEFAULT else f"/v1/collections/{collection}"
    return f"{below}/people/{person}"


def _summary(person: PersonRecord) -> dict[str, Any]:
    return {"id": person.id, "name": person.name, "faces": len(person.faces)}


def _face(face: FaceRecord) -> dict[str, Any]:
    found: dict[str, Any] = {"id": face.id, "has_photo": bool(face.photo)}
    if face.box:
        found["box"] = list(face.box[:4])
        found["score"] = face.box.score
    return found
