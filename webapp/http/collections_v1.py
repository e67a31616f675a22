"""Collections over HTTP."""

from dataclasses import asdict
from typing import cast

from flask import request

from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT, NoSuchCollection, keys_of
from webapp.http.errors import Problem
from webapp.http.operation import CHANGE, COLLECTION, READ, Operation
from webapp.http.people import waiting
from webapp.http.people_v1 import Route
from webapp.http.responses import Created, NoContent, Rendered
from webapp.http.schemas import Collection, CollectionNames
from webapp.services.collections import CollectionInfo, CollectionService
from webapp.services.task_client import TaskClient


class CollectionsV1:
    """The views of collections."""

    def __init__(
        self, settings: Settings, service: CollectionService, task_client: TaskClient
    ) -> None:
        self._settings = settings
        self._service = service
        self._task_client = task_client

    def routes(self) -> list[Route]:
        """Method, path, view and scope."""
        one = "/collections/<collection>"
        return [
            ("GET", "/collections", self.listing, "people:read"),
            ("POST", "/collections", self.create, "people:write"),
            ("GET", one, self.show, "people:read"),
            ("DELETE", one, self.delete, "people:write"),
        ]

    @Operation("listCollections", READ)
    def listing(self) -> Rendered[CollectionNames]:
        """``GET /v1/collections``: the names of all collections, the default one first."""
        names = self._service.names()
        body: CollectionNames = {"collections": [{"name": name} for name in names]}
        return Rendered(body, "".join(f"{name}\n" for name in names))

    @Operation("createCollection", CHANGE, form={"name": COLLECTION})
    def create(self) -> Created[Collection]:
        """``POST /v1/collections``: make a collection."""
        wait = waiting(self._settings, self._task_client)
        with self._task_client.admission_slot():
            name = checked_collection(request.form.get("name", ""))
            self._service.create(name, wait)
        response = Created(*_shown(self._service.describe(name)))
        response.headers["Location"] = f"/v1/collections/{name}"
        return response

    @Operation("showCollection", READ)
    def show(self, collection: str) -> Rendered[Collection]:
        """``GET /v1/collections/<name>``: how many people and faces a collection holds."""
        return Rendered(*_shown(self._service.describe(collection)))

    @Operation("deleteCollection", CHANGE)
    def delete(self, collection: str) -> NoContent:
        """``DELETE /v1/collections/<name>``: erase a collection and everybody in it."""
        wait = waiting(self._settings, self._task_client)
        if collection == DEFAULT:
            raise Problem("bad-request", "the default collection cannot be deleted")
        with self._task_client.admission_slot():
            self._service.delete(checked_collection(collection, "no-such-collection"), wait)
        return NoContent()


def _shown(found: CollectionInfo) -> tuple[Collection, str]:
    body = cast(Collection, {k: v for k, v in asdict(found).items() if v is not None})
    return body, f"{found.name}: {found.people} people, {found.faces} faces\n"


def checked_collection(name: str, code: str = "bad-name") -> str:
    """Raises :class:`Problem` for what cannot be the name of a collection."""
    try:
        keys_of(name)
    except NoSuchCollection as error:
        raise Problem(
            code, "a collection's name has 1 to 255 letters, digits, - _ and . not at its start"
        ) from error
    return name
