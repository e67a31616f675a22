"""Unknown faces over HTTP: who is it?"""

from functools import partial

from flask import request

from facerec_tasks.recognition.gallery.identifiers import is_id
from facerec_tasks.settings import Settings
from facerec_tasks.task_ids import sorts_by_time
from webapp.http.errors import Problem
from webapp.http.operation import CHANGE, ID, NAME, Operation
from webapp.http.people import checked_name, waiting
from webapp.http.people_v1 import Route
from webapp.http.responses import NoContent, Rendered
from webapp.http.schemas import NamedFaces, UnknownGroups
from webapp.services.people import Wait
from webapp.services.task_client import TaskClient
from webapp.services.unknown import UnknownService

_PROBLEMS = (*CHANGE, 410)
_who_is_it = partial(
    Operation,
    problems=_PROBLEMS,
    form={"person": ID, "name": NAME},
    optional=("person", "name"),
)


class UnknownV1:
    """The views of unknown faces, of the default collection."""

    def __init__(
        self, settings: Settings, service: UnknownService, task_client: TaskClient
    ) -> None:
        self._settings = settings
        self._service = service
        self._task_client = task_client

    def routes(self) -> list[Route]:
        """Method, path, view and scope."""
        return [
            ("GET", "/unknown", self.listing, "history:read"),
            ("POST", "/unknown/<group>", self.name, "people:write"),
            ("DELETE", "/unknown/<group>", self.dismiss, "people:write"),
            ("POST", "/history/<task>/faces/<int:number>", self.name_face, "people:write"),
        ]

    @Operation("listUnknown", _PROBLEMS)
    def listing(self) -> Rendered[UnknownGroups]:
        """``GET /v1/unknown``: groups of faces that may be one person each."""
        with self._task_client.admission_slot():
            found = self._service.groups(self._wait())
        lines = (f"{g['id']}\t{g['photos']} photos\n" for g in found["groups"])
        return Rendered(found, "".join(lines))

    @_who_is_it("nameGroup")
    def name(self, group: str) -> Rendered[NamedFaces]:
        """``POST /v1/unknown/<group>``: it is ``person``, by id, or a new one called ``name``."""
        person, name = _who()
        with self._task_client.admission_slot():
            done = self._service.name_group(_group(group), person, name, self._wait())
        return Rendered(done, f"{done['id']}\t{done['name']}\n")

    @Operation("dismissGroup", _PROBLEMS)
    def dismiss(self, group: str) -> NoContent:
        """``DELETE /v1/unknown/<group>``: the numbers of these faces are erased."""
        with self._task_client.admission_slot():
            self._service.dismiss(_group(group), self._wait())
        return NoContent()

    @_who_is_it("nameFace")
    def name_face(self, task: str, number: int) -> Rendered[NamedFaces]:
        """``POST /v1/history/<task id>/faces/<n>``: a face of that answer is ``person``, or a new
        one called ``name``.

        It is enrolled when it adds something.
        """
        if not sorts_by_time(task) or number > 1000:
            raise Problem("not-found", "no such face in a past answer")
        person, name = _who()
        with self._task_client.admission_slot():
            done = self._service.name_face(task, number, person, name, self._wait())
        return Rendered(done, f"{done['id']}\t{done['name']}\n")

    def _wait(self) -> Wait:
        return waiting(self._settings, self._task_client)


def _group(text: str) -> str:
    if not is_id(text):
        raise Problem("not-found", "no such group")
    return text


def _who() -> tuple[str, str]:
    """Id of a person, or the name of a new one."""
    person = request.form.get("person", "")
    if person:
        if not is_id(person):
            raise Problem("no-such-person", "not the id of a person")
        return person, ""
    return "", checked_name(request.form.get("name", ""))
