"""The answers of the past, newest first: listed, searched, and rid of people who are erased.

Ids of tasks sort by time (:mod:`facerec_tasks.task_ids`), so a listing of ``results/`` is in order
and a photo costs no request for its history when it is answered. What a search must know of the
answers is kept by hour in ``history/``, and is written by whoever reads: each record is read once,
when its hour is first looked at, and again when it changed. The index holds ids of people, never
names, and can be deleted at any time.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby, islice

from facerec_tasks.corrections import with_people
from facerec_tasks.errors import AwsError
from facerec_tasks.schemas import Answer
from facerec_tasks.storage import layout
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import ObjectInfo, StateBucket, Stored
from facerec_tasks.task_ids import accepted_at, first_task_id, sorts_by_time

DAY = 86400.0
BEGINNING = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""No answer is older."""
PAGE_SECONDS = 2.0
"""A page that is not full by then goes on in the next request."""
READERS = 16
_LOOK_BACK = (3600.0, DAY, 30 * DAY)
"""Seconds of the first listings: the last hour, the day before that, the month before that."""
_AT_ONCE = 64
"""Records read together."""
_MARK = 8
"""Characters of a person's id that are kept of each who is mentioned anywhere in an answer."""


@dataclass(frozen=True)
class HistoryEntry:
    """One answer."""

    task_id: str
    etag: str
    """Of its record."""
    key: str
    """File name."""
    version: str | None
    outcome: str
    people: tuple[str, ...] = ()
    """Ids of those who are named, each once."""
    faces: int = 0
    unknown: int = 0
    """Faces that nobody was named for."""
    video: bool = False
    mentions: str = ""

    @property
    def at(self) -> float:
        """Unix seconds when the photo was accepted."""
        return accepted_at(self.task_id)

    def mentions_any(self, people: Iterable[str]) -> bool:
        """Whether one of them may be mentioned, as the one named or as a candidate."""
        marks = {self.mentions[at : at + _MARK] for at in range(0, len(self.mentions), _MARK)}
        return any(person[:_MARK] in marks for person in people)

    @classmethod
    def of(cls, answer: Answer, etag: str) -> "HistoryEntry":
        ids = [f.person_id for f in answer.faces] + [p.person_id for p in answer.people]
        candidates = [c.person_id for face in answer.faces for c in face.candidates]
        return cls(
            answer.task_id,
            etag,
            answer.key,
            answer.version,
            answer.outcome,
            people=tuple(dict.fromkeys(filter(None, ids))),
            faces=len(ids),
            unknown=sum(not id_ for id_ in ids),
            video=answer.video is not None,
            mentions="".join(sorted({id_[:_MARK] for id_ in (*ids, *candidates) if id_})),
        )


@dataclass(frozen=True)
class HistoryQuery:
    """Which answers. Times are unix seconds."""

    since: float = BEGINNING
    until: float | None = None
    person: str = ""
    """Id."""
    name: str = ""
    """Part of the file name, in any case."""
    unknown_only: bool = False

    def takes(self, entry: HistoryEntry) -> bool:
        return (
            (not self.person or self.person in entry.people)
            and self.name.casefold() in entry.key.casefold()
            and (not self.unknown_only or entry.unknown > 0)
        )


@dataclass(frozen=True)
class HistoryPage:
    """Some entries, newest first."""

    entries: tuple[HistoryEntry, ...]
    cursor: str | None
    """Where the next page begins, also when this one is not full; None at the end."""


class History:
    """Of one system. Errors come as :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state
        self._results = Results(state)

    def page(
        self, query: HistoryQuery, limit: int, cursor: str | None = None, now: float | None = None
    ) -> HistoryPage:
        """At most ``limit`` entries before ``cursor``, which is the last task id of another page.

        Without a search only as many records are read as are shown.
        """
        deadline = time.monotonic() + PAGE_SECONDS
        found: list[HistoryEntry] = []
        last: str | None = None
        with _Index(self._state, self._results) as index:
            for entry in index.entries(self._newest_first(query, cursor, now)):
                last = entry.task_id
                if query.takes(entry):
                    found.append(entry)
                if len(found) == limit or time.monotonic() > deadline:
                    return HistoryPage(tuple(found), last)
        return HistoryPage(tuple(found), None)

    def replace_people(
        self, people: Mapping[str, tuple[str, str] | None], seconds: float = 20.0
    ) -> bool:
        """Rewrites every answer that mentions these people, by id: as another's, given by id and
        name, or as nobody's, with no older version left. Returns False when ``seconds`` were too
        few; the newest answers come first.
        """
        deadline = time.monotonic() + seconds
        with _Index(self._state, self._results, erase_old_versions=True) as index:
            for entry in index.entries(self._newest_first(HistoryQuery(), None, None)):
                if entry.mentions_any(people):
                    self._results.correct(entry.task_id, lambda a: with_people(a, people))
                    self._state.erase_old_versions(layout.result(entry.task_id))
                    index.read_again(entry.task_id)
                if time.monotonic() > deadline:
                    return False
        return True

    def _newest_first(
        self, query: HistoryQuery, cursor: str | None, now: float | None
    ) -> Iterator[ObjectInfo]:
        days = self._state.settings.retention_days
        now = time.time() if now is None else now
        since = max(query.since, now - days * DAY if days else BEGINNING, BEGINNING)
        until = now + DAY if query.until is None else query.until
        until = max(BEGINNING, min(until, now + DAY))
        end = first_task_id(int(1000 * until))
        if cursor is not None:
            end = min(end, cursor)
        begin = int(1000 * since)
        for seconds in (*_LOOK_BACK, until):
            middle = max(begin, _milliseconds(end) - int(1000 * seconds))
            yield from self._span(middle, end)
            if middle <= begin:
                return
            end = first_task_id(middle)

    def _span(self, begin: int, end: str) -> Iterator[ObjectInfo]:
        """Records of the tasks from ``begin`` (milliseconds) to before ``end`` (an id).

        S3 lists in one order only: a span with too many for a listing is halved.
        """
        last = _milliseconds(end)
        if begin > last:
            return
        found, complete = self._state.span(layout.RESULTS, first_task_id(begin), end)
        if not complete and last > begin:
            middle = (begin + last) // 2
            yield from self._span(middle + 1, end)
            yield from self._span(begin, first_task_id(middle + 1))
            return
        if not complete:  # more than a thousand in one millisecond
            prefix = layout.RESULTS + end[:13]
            found = [one for one in self._state.list(prefix) if one.name < layout.result(end)]
        for one in reversed(found):
            task_id = _task_id(one)
            if sorts_by_time(task_id) and task_id < end:
                yield one


@dataclass
class _Segment:
    """The entries of one hour."""

    key: str
    stored: Stored | None
    entries: dict[str, HistoryEntry]
    changed: bool = False


@dataclass
class _Index:
    """Entries by record, from the segments of their hours; new ones are added at the end."""

    state: StateBucket
    results: Results
    erase_old_versions: bool = False
    _segments: dict[str, _Segment] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS))

    def __enter__(self) -> "_Index":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for segment in self._segments.values():
            if segment.changed:
                self._write(segment)

    def entries(self, records: Iterator[ObjectInfo]) -> Iterator[HistoryEntry]:
        """In the order of the records; those that are deleted meanwhile are left out."""
        for key, of_hour in groupby(records, key=lambda one: segment_of(_task_id(one))):
            segment = self._segments.get(key) or self._load(key)
            while batch := list(islice(of_hour, _AT_ONCE)):
                missing = [one for one in batch if not _is_current(segment, one)]
                for entry in self._pool.map(self._read, missing):
                    if entry is not None:
                        segment.entries[entry.task_id] = entry
                        segment.changed = True
                for one in batch:
                    known = segment.entries.get(_task_id(one))
                    if known is not None:
                        yield known

    def read_again(self, task_id: str) -> None:
        """A record has changed."""
        segment = self._segments[segment_of(task_id)]
        entry = self._read(ObjectInfo(layout.result(task_id), 0, datetime.now(UTC), ""))
        if entry is not None:
            segment.entries[task_id] = entry
        segment.changed = True

    def _read(self, record: ObjectInfo) -> HistoryEntry | None:
        stored = self.state.find(record.name)
        return HistoryEntry.of(Answer.from_json(stored.data), stored.etag) if stored else None

    def _load(self, key: str) -> _Segment:
        stored = self.state.find(key)
        segment = self._segments[key] = _Segment(key, stored, _entries(stored))
        return segment

    def _write(self, segment: _Segment) -> None:
        lines = [list(vars(entry).values()) for entry in segment.entries.values()]
        data = json.dumps(lines, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            self.state.put_over(segment.key, data, segment.stored)
            if self.erase_old_versions:
                self.state.erase_old_versions(segment.key)
        except AwsError:  # another reader wrote it, or S3 is busy: the records are still there
            if self.erase_old_versions:
                self.state.erase(segment.key)


def _entries(stored: Stored | None) -> dict[str, HistoryEntry]:
    if stored is None:
        return {}
    try:
        found = [HistoryEntry(*line) for line in json.loads(stored.data)]
        return {e.task_id: replace(e, people=tuple(e.people)) for e in found}
    except (ValueError, TypeError):  # of another release: it is written anew
        return {}


def _is_current(segment: _Segment, record: ObjectInfo) -> bool:
    known = segment.entries.get(_task_id(record))
    return known is not None and known.etag == record.etag


def _milliseconds(task_id: str) -> int:
    """When that id was made."""
    return int(task_id.replace("-", "")[:12], 16)


def _task_id(record: ObjectInfo) -> str:
    return layout.task_id_of_result(record.name)


def segment_of(task_id: str) -> str:
    """Key of the index's part that an answer is in."""
    return layout.history(datetime.fromtimestamp(accepted_at(task_id), UTC))
