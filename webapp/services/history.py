"""The history as clients see it: stored ids with current names."""

from collections.abc import Mapping

from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.gallery.records import PersonRecord
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.history import History, HistoryEntry, HistoryQuery
from facerec_tasks.storage.results import Results
from webapp.http.errors import Problem
from webapp.http.schemas import HistoryDocument, HistoryItem, PersonName
from webapp.services.enrolled_people import EnrolledPeople


class HistoryService:
    """One per process. Problems come as :class:`~webapp.http.errors.Problem`."""

    def __init__(self, storage: Storage, enrolled: EnrolledPeople) -> None:
        self._photos = storage.photos
        self._results = Results(storage.state)
        self._history = History(storage.state)
        self.enrolled = enrolled

    def page(self, query: HistoryQuery, limit: int, cursor: str | None) -> HistoryDocument:
        """The newest first; without ``cursor`` this is the last page."""
        page = self._history.page(query, limit, cursor)
        known = self.enrolled.info().by_id if any(e.people for e in page.entries) else {}
        found: HistoryDocument = {"entries": [_described(e, known) for e in page.entries]}
        if page.cursor:
            found["cursor"] = page.cursor
        return found

    def photo(self, task_id: str) -> bytes:
        """The photo of an answer; raises ``not-found`` when it, or the answer, is gone."""
        answer = self._results.get(task_id)
        if answer is None or not answer.version or answer.video is not None:
            raise Problem("not-found", "no such photo")
        try:
            return self._photos.get(answer.key, answer.version)
        except NotFound as error:
            raise Problem("not-found", "the photo is gone") from error


def _described(entry: HistoryEntry, known: Mapping[str, PersonRecord]) -> HistoryItem:
    people: list[PersonName] = [
        {"id": id_, "name": known[id_].name} for id_ in entry.people if id_ in known
    ]
    return {
        "task_id": entry.task_id,
        "at": entry.at,
        "file": entry.key,
        "outcome": entry.outcome,
        "people": people,
        "faces": entry.faces,
        "unknown": entry.unknown,
        "video": entry.video,
    }
