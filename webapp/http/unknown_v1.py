"""Unknown faces over HTTP: groups, naming, erasing."""

from functools import partial

from flask import request

from facerec_tasks.recognition.gallery.identifiers import is_id
from facerec_tasks.task_ids import sorts_by_time
from webapp.http import forms
from webapp.http.errors import Problem
from webapp.http.operation import CHANGE, ID, NAME, Operation
from webapp.http.responses import NoContent, Rendered
from webapp.http.schemas import NamedFaces, UnknownGroups
from webapp.http.worker_views import WorkerViews

_PROBLEMS = (*CHANGE, 410)
_who_is_it = partial(
    Operation,
    problems=_PROBLEMS,
    form={"person": ID, "name": NAME},
    optional=("person", "name"),
)


class UnknownV1(WorkerViews):
    """The views of unknown faces, of the default collection."""

    @Operation("listUnknown", _PROBLEMS)
    def listing(self) -> Rendered[UnknownGroups]:
        """``GET /v1/unknown``: groups of faces that may be one person each."""
        with self._waiting() as wait:
            found = self.workers.unknown_groups(wait)
        lines = (f"{g['id']}\t{g['photos']} photos\n" for g in found["groups"])
        return Rendered(found, "".join(lines))

    @_who_is_it("nameGroup")
    def name(self, group: str) -> Rendered[NamedFaces]:
        """``POST /v1/unknown/<group>``: it is ``person``, by id, or a new one called ``name``."""
        person, name = _who()
        with self._waiting() as wait:
            done = self.workers.name_group(_group(group), person, name, wait)
        return Rendered(done, f"{done['id']}\t{done['name']}\n")

    @Operation("dismissGroup", _PROBLEMS)
    def dismiss(self, group: str) -> NoContent:
        """``DELETE /v1/unknown/<group>``: the numbers of these faces are erased."""
        with self._waiting() as wait:
            self.workers.dismiss_group(_group(group), wait)
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
        with self._waiting() as wait:
            done = self.workers.name_face(task, number, person, name, wait)
        return Rendered(done, f"{done['id']}\t{done['name']}\n")


def _group(text: str) -> str:
    if not is_id(text):
        raise Problem("not-found", "no such group")
    return text


def _who() -> tuple[str, str]:
    """Id of a person, or the name of a new one."""
    if person := request.form.get("person"):
        return forms.person_id(person), ""
    return "", forms.name()
