"""What is asked about faces and stores nothing: detect, embed, compare, search; and indexing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NewType, cast

from webapp.http.schemas import Compared, Detected, Embedded, Searched
from webapp.services.people import Reply, Wait, WorkerRequests

Source = NewType("Source", tuple[object, ...])
"""What a worker reads a photo by."""


def stored_photo(key: str, version: str | None = None) -> Source:
    """A photo that lies in the in-bucket already."""
    return Source(("photo", key, version))


class FaceService:
    """One per process. Refusals come as :class:`~webapp.http.errors.Problem`."""

    def __init__(self, workers: WorkerRequests) -> None:
        self._workers = workers

    @contextmanager
    def uploaded(self, photo: bytes) -> Iterator[Source]:
        """A photo where workers find it, until it is erased."""
        with self._workers.upload(photo) as upload:
            del photo  # whoever waits for a worker holds no photo
            yield Source(("upload", upload, 0))

    def detect(self, photo: Source, wait: Wait) -> Detected:
        """Its faces."""
        return cast(Detected, self._workers.ask("detect", (photo,), wait))

    def embed(self, photo: Source, wait: Wait) -> Embedded:
        """Its faces with their embeddings."""
        return cast(Embedded, self._workers.ask("embed", (photo, wait.collection), wait))

    def compare(self, source: Source, target: Source, wait: Wait) -> Compared:
        """The faces of ``target``, each with its distance to the largest of ``source``."""
        return cast(Compared, self._workers.ask("compare", (source, target, wait.collection), wait))

    def search(
        self, photo: Source, limit: int, threshold: float | None, quality: float, wait: Wait
    ) -> Searched:
        """Its faces, each with the nearest people; ``quality`` is the least sharpness."""
        arguments = (photo, wait.collection, limit, threshold, quality)
        return cast(Searched, self._workers.ask("search", arguments, wait))

    def search_faces(self, photo: Source, limit: int, least: float, wait: Wait) -> Reply:
        """The enrolled faces most like the largest one of a photo; ``least`` similarity."""
        return self._workers.ask("search_faces", (photo, wait.collection, limit, least), wait)

    def search_by_face(self, face: str, limit: int, least: float, wait: Wait) -> Reply:
        """The enrolled faces most like another enrolled one."""
        return self._workers.ask("search_by_face", (face, wait.collection, limit, least), wait)

    def index(
        self, photo: Source, name: str, max_faces: int | None, strict: bool, wait: Wait
    ) -> Reply:
        """Enrolls the faces of a photo; see :func:`facerec_tasks.tasks.faces.index`."""
        arguments = (photo, wait.collection, name, max_faces, strict)
        return self._workers.change("index", arguments, wait)
