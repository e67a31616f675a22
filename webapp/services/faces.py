"""What is asked about faces and stores nothing: detect, embed, compare, search; and indexing."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from webapp.services.people import Reply, Wait, WorkerRequests


@dataclass(frozen=True)
class StoredPhoto:
    """A photo that lies in the in-bucket already."""

    key: str
    version: str | None = None


Photo = bytes | StoredPhoto


class FaceService:
    """One per process. Refusals come as :class:`~webapp.http.errors.Problem`."""

    def __init__(self, workers: WorkerRequests) -> None:
        self._workers = workers

    def detect(self, photo: Photo, wait: Wait) -> Reply:
        """Its faces."""
        return self._ask("detect", [photo], (), wait)

    def embed(self, photo: Photo, wait: Wait) -> Reply:
        """Its faces with their embeddings."""
        return self._ask("embed", [photo], (wait.collection,), wait)

    def compare(self, source: Photo, target: Photo, wait: Wait) -> Reply:
        """The faces of ``target``, each with its distance to the largest of ``source``."""
        return self._ask("compare", [source, target], (wait.collection,), wait)

    def search(self, photo: Photo, limit: int, threshold: float | None, wait: Wait) -> Reply:
        """Its faces, each with the nearest people."""
        return self._ask("search", [photo], (wait.collection, limit, threshold), wait)

    def search_faces(self, photo: Photo, limit: int, least: float, wait: Wait) -> Reply:
        """The enrolled faces most like the largest one of a photo; ``least`` similarity."""
        return self._ask("search_faces", [photo], (wait.collection, limit, least), wait)

    def search_by_face(self, face: str, limit: int, least: float, wait: Wait) -> Reply:
        """The enrolled faces most like another enrolled one."""
        return self._ask("search_by_face", [], (face, wait.collection, limit, least), wait)

    def index(
        self, photo: Photo, name: str, max_faces: int | None, strict: bool, wait: Wait
    ) -> Reply:
        """Enrols the faces of a photo; see :func:`facerec_tasks.tasks.faces.index`."""
        arguments = (wait.collection, name, max_faces, strict)
        return self._ask("index", [photo], arguments, wait, changes=True)

    def _ask(
        self,
        task: str,
        photos: Sequence[Photo],
        arguments: tuple[object, ...],
        wait: Wait,
        *,
        changes: bool = False,
    ) -> Reply:
        ask = self._workers.change if changes else self._workers.ask
        with ExitStack() as uploads:
            sources = [self._source(photo, uploads) for photo in photos]
            return ask(task, (*sources, *arguments), wait)

    def _source(self, photo: Photo, uploads: ExitStack) -> tuple[object, ...]:
        """What a worker reads the photo by."""
        if isinstance(photo, StoredPhoto):
            return ("photo", photo.key, photo.version)
        return ("upload", uploads.enter_context(self._workers.upload(photo)), 0)
