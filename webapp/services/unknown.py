"""Faces nobody knows: their groups, and who clients say they are. Workers do the work."""

from typing import cast

from facerec_tasks.recognition.gallery.identifiers import new_id
from webapp.http.schemas import NamedFaces, UnknownGroups
from webapp.services.people import Wait, WorkerRequests


class UnknownService:
    """One per process. Refusals come as :class:`~webapp.http.errors.Problem`."""

    def __init__(self, workers: WorkerRequests) -> None:
        self._workers = workers

    def groups(self, wait: Wait) -> UnknownGroups:
        """Groups of unknown faces, the largest first."""
        return cast(UnknownGroups, self._workers.ask("group_unknown", (), wait))

    def name_group(self, group: str, person: str, name: str, wait: Wait) -> NamedFaces:
        """A group is that person, by id, or a new one called ``name``."""
        arguments = (group, person or new_id(), name)
        return cast(NamedFaces, self._workers.change("name_group", arguments, wait))

    def dismiss(self, group: str, wait: Wait) -> None:
        """Nobody wants to know who that is."""
        self._workers.ask("dismiss_group", (group,), wait)

    def name_face(self, task_id: str, face: int, person: str, name: str, wait: Wait) -> NamedFaces:
        """A face of a past answer is that person, or a new one called ``name``."""
        arguments = (task_id, face, person or new_id(), name)
        return cast(NamedFaces, self._workers.change("confirm_face", arguments, wait))
