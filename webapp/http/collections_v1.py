"""Collections over HTTP."""

from flask import request

from facerec_tasks.storage.collections import DEFAULT, NoSuchCollection, keys_of
from webapp.http.errors import Problem
from webapp.http.operation import CHANGE, COLLECTION, READ, Operation
from webapp.http.responses import Created, NoContent, Rendered
from webapp.http.schemas import Collection, CollectionNames
from webapp.http.worker_views import WorkerViews


class CollectionsV1(WorkerViews):
    """The views of collections."""

    @Operation("listCollections", READ)
    def listing(self) -> Rendered[CollectionNames]:
        """``GET /v1/collections``: the names of all collections, the default one first."""
        names = self.enrolled.collections()
        body: CollectionNames = {"collections": [{"name": name} for name in names]}
        return Rendered(body, "".join(f"{name}\n" for name in names))

    @Operation("createCollection", CHANGE, form={"name": COLLECTION})
    def create(self) -> Created[Collection]:
        """``POST /v1/collections``: make a collection."""
        with self._waiting() as wait:
            name = checked_collection(request.form.get("name", ""))
            self.workers.create_collection(name, wait)
        response = Created(*self._shown(name))
        response.headers["Location"] = f"/v1/collections/{name}"
        return response

    @Operation("showCollection", READ)
    def show(self, collection: str) -> Rendered[Collection]:
        """``GET /v1/collections/<name>``: how many people and faces a collection holds."""
        return Rendered(*self._shown(collection))

    @Operation("deleteCollection", CHANGE)
    def delete(self, collection: str) -> NoContent:
        """``DELETE /v1/collections/<name>``: erase a collection and everybody in it."""
        if collection == DEFAULT:
            raise Problem("bad-request", "the default collection cannot be deleted")
        with self._waiting() as wait:
            name = checked_collection(collection, "no-such-collection")
            self.workers.delete_collection(name, wait)
        return NoContent()

    def _shown(self, name: str) -> tuple[Collection, str]:
        info = self.enrolled.info(name)
        people, faces = len(info.people), info.count_faces()
        body: Collection = {"name": name, "engine": info.engine, "people": people, "faces": faces}
        if info.created_at is not None:
            body["created_at"] = info.created_at
        return body, f"{name}: {people} people, {faces} faces\n"


def checked_collection(name: str, code: str = "bad-name") -> str:
    """Raises :class:`Problem` for what cannot be the name of a collection."""
    try:
        keys_of(name)
    except NoSuchCollection as error:
        raise Problem(
            code, "a collection's name has 1 to 255 letters, digits, - _ and . not at its start"
        ) from error
    return name
