"""Collections over HTTP."""

from dataclasses import asdict
from typing import Any

from flask import Response, request

from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT, NoSuchCollection, keys_of
from webapp.http.errors import Problem
from webapp.http.people import waiting
from webapp.http.people_v1 import Route
from webapp.http.rendering import render
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

    def listing(self) -> Response:
        """``GET /v1/collections``: their names, the default one first."""
        names = self._service.names()
        body = {"collections": [{"name": name} for name in names]}
        return render(body, "".join(f"{name}\n" for name in names))

    def create(self) -> Response:
        """``POST /v1/collections``: field ``name``."""
        wait = waiting(self._settings, self._task_client)
        with self._task_client.admission_slot():
            name = checked_collection(request.form.get("name", ""))
            self._service.create(name, wait)
        response = self._shown(self._service.describe(name), 201)
        response.headers["Location"] = f"/v1/collections/{name}"
        return response

    def show(self, collection: str) -> Response:
        """``GET /v1/collections/<name>``: how many people and faces it holds."""
        return self._shown(self._service.describe(collection))

    def delete(self, collection: str) -> Response:
        """``DELETE /v1/collections/<name>``: everybody in it is erased."""
        wait = waiting(self._settings, self._task_client)
        if collection == DEFAULT:
            raise Problem("bad-request", "the default collection cannot be deleted")
        with self._task_client.admission_slot():
            self._service.delete(checked_collection(collection, "no-such-collection"), wait)
        return Response(status=204)

    @staticmethod
    def _shown(found: CollectionInfo, status: int = 200) -> Response:
        body: dict[str, Any] = {k: v for k, v in asdict(found).items() if v is not None}
        text = f"{found.name}: {found.people} people, {found.faces} faces\n"
        return render(body, text, status)


def checked_collection(name: str, code: str = "bad-name") -> str:
    """Raises :class:`Problem` for what cannot be the name of a collection."""
    try:
        keys_of(name)
    except NoSuchCollection as error:
        raise Problem(
            code, "a collection's name has 1 to 255 letters, digits, - _ and . not at its start"
        ) from error
    return name
