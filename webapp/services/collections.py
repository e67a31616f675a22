"""Collections over HTTP: listed and described here, made and deleted by workers."""

from dataclasses import dataclass

from facerec_tasks.storage.collections import Collections
from facerec_tasks.storage.state_bucket import StateBucket
from webapp.services.enrolled_people import EnrolledPeople
from webapp.services.people import Wait, WorkerRequests


@dataclass(frozen=True)
class CollectionInfo:
    """What a collection holds."""

    name: str
    engine: str
    """Empty while nobody was ever enrolled in the default collection."""
    created_at: float | None
    """Unix seconds; None of the default one."""
    people: int
    faces: int


class CollectionService:
    """One per process. Problems come as :class:`~webapp.http.errors.Problem`."""

    def __init__(
        self, state: StateBucket, enrolled: EnrolledPeople, workers: WorkerRequests
    ) -> None:
        self._collections = Collections(state)
        self._enrolled = enrolled
        self._workers = workers

    def names(self) -> tuple[str, ...]:
        """The default one first."""
        return self._collections.names()

    def describe(self, collection: str) -> CollectionInfo:
        """Raises ``no-such-collection``."""
        found = self._enrolled.info(collection)
        faces = sum(len(person.faces) for person in found.people)
        return CollectionInfo(collection, found.engine, found.created_at, len(found.people), faces)

    def create(self, collection: str, wait: Wait) -> None:
        """Raises ``collection-exists``."""
        self._workers.ask("create_collection", (collection,), wait)

    def delete(self, collection: str, wait: Wait) -> None:
        """Erases everybody in it; raises ``no-such-collection``."""
        self._workers.change("delete_collection", (collection,), wait)
