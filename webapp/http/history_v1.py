"""Past answers over HTTP: listed, searched, and their photos."""

from datetime import UTC, datetime

from facerec_tasks.recognition.gallery.identifiers import is_id
from facerec_tasks.storage.history import BEGINNING, DAY, HistoryQuery
from facerec_tasks.task_ids import sorts_by_time
from webapp.http.errors import Problem
from webapp.http.operation import READ, Operation
from webapp.http.parameters import flag, moment, text, whole
from webapp.http.responses import Photo, Rendered
from webapp.http.schemas import HistoryDocument
from webapp.services.history import HistoryService

ON = moment("day", "Only of this day, UTC.", "date")
SINCE = moment("since", "Only photos accepted then or later.")
UNTIL = moment("until", "Only photos accepted before.")
PERSON = text("person", "Only who has this id, or alone bears this name.")
FILE = text("file", "Only file names that contain this.")
UNKNOWN = flag("unknown", "1: only photos with faces nobody is named for.", default=False)
LIMIT = whole("limit", "Entries of a page.", 50, 1, 500)
CURSOR = text("cursor", "The ``cursor`` of the page before.")
PARAMETERS = (ON, SINCE, UNTIL, PERSON, FILE, UNKNOWN, LIMIT, CURSOR)


class HistoryV1:
    """The views of past answers."""

    def __init__(self, service: HistoryService) -> None:
        self._service = service

    @Operation("listHistory", (*READ, 409), parameters=PARAMETERS)
    def listing(self) -> Rendered[HistoryDocument]:
        """``GET /v1/history``: past answers, the newest first, in pages.

        A search looks at answers for two seconds: a page that is not full may have a cursor.
        """
        cursor = CURSOR()
        if cursor is not None and not sorts_by_time(cursor):
            raise Problem("bad-request", "cursor is that of the page before")
        found = self._service.page(self._query(), LIMIT(), cursor)
        lines = (
            f"{datetime.fromtimestamp(entry['at'], UTC):%Y-%m-%dT%H:%M:%SZ}\t{entry['file']}\t"
            f"{', '.join(person['name'] for person in entry['people']) or entry['outcome']}\n"
            for entry in found["entries"]
        )
        return Rendered(found, "".join(lines))

    @Operation("historyPhoto", READ)
    def photo(self, task: str) -> Photo:
        """``GET /v1/history/<task id>/photo``: the photo of a past answer, as it was sent."""
        if not sorts_by_time(task):
            raise Problem("not-found", "no such photo")
        response = Photo(self._service.photo(task))
        response.headers["Cache-Control"] = "private, max-age=3600"
        return response

    def _query(self) -> HistoryQuery:
        since, until = SINCE(), UNTIL()
        if (day := ON()) is not None:
            since, until = day, day + DAY
        person = PERSON() or ""
        if person and not is_id(person):
            person = self._service.enrolled.named(person).id
        return HistoryQuery(
            since=BEGINNING if since is None else since,
            until=until,
            person=person,
            name=FILE() or "",
            unknown_only=UNKNOWN(),
        )
