"""Past answers: in order, searched, and without people who are erased."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from facerec_tasks.aws import client
from facerec_tasks.recognition.gallery.enrollment import Sample
from facerec_tasks.schemas import Answer, Candidate, Face
from facerec_tasks.settings import Settings
from facerec_tasks.storage import history as history_module
from facerec_tasks.storage import layout
from facerec_tasks.storage.history import DAY, History, HistoryQuery
from facerec_tasks.storage.people import People
from facerec_tasks.storage.photos import Photos, Selection
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.task_ids import new_task_id
from local.emulators.resources import create_buckets

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
GRACE, EILEEN = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"


@pytest.fixture
def history(state: StateBucket) -> History:
    return History(state)


def face(person: str | None = None, name: str = "Grace", candidates: Sequence[str] = ()) -> Face:
    listed = tuple(Candidate(name, 0.4, 90.0, 0.8, person_id=id_) for id_ in candidates)
    return Face(
        name if person else "unknown", (0, 0, 9, 9), ((1, 1),) * 5, 0.99, 0.4,
        candidates=listed, person_id=person,
    )  # fmt: skip


def answered(state: StateBucket, at: float, *faces: Face, key: str = "photo.jpg") -> str:
    task_id = new_task_id(at)
    named = faces[0].name if faces and faces[0].person_id else None
    outcome = "named" if named else "unknown" if faces else "no-face"
    answer = Answer(task_id, key, "v1", outcome, named, faces=faces)  # type: ignore[arg-type]
    Results(state).create(answer)
    return task_id


def ids(history: History, query: HistoryQuery = HistoryQuery(), limit: int = 50) -> list[str]:  # noqa: B008
    return [entry.task_id for entry in history.page(query, limit, now=NOON + DAY).entries]


def test_pages_go_back_in_time(state: StateBucket, history: History) -> None:
    made = [answered(state, NOON + 600 * n, face()) for n in range(30)]  # five hours
    found, cursor = [], None
    while True:
        page = history.page(HistoryQuery(), 7, cursor, now=NOON + DAY)
        found += [entry.task_id for entry in page.entries]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == made[::-1]


def test_spans_of_more_than_a_listing_are_halved(
    state: StateBucket, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "PAGE_SECONDS", 60.0)
    listed = client(state.settings, "s3").list_objects_v2
    monkeypatch.setattr(
        client(state.settings, "s3"), "list_objects_v2", lambda **k: listed(MaxKeys=5, **k)
    )
    made = [answered(state, NOON + n / 100) for n in range(40)]
    assert ids(history) == made[::-1]


def test_search_by_day_person_file_and_unknown(state: StateBucket, history: History) -> None:
    old = answered(state, NOON - DAY, face(GRACE), key="Holiday.JPG")
    both = answered(state, NOON, face(GRACE), face())
    other = answered(state, NOON + 1, face(EILEEN, "Eileen"))
    nobody = answered(state, NOON + 2, key="wall.png")
    assert ids(history, HistoryQuery(person=GRACE)) == [both, old]
    assert ids(history, HistoryQuery(unknown_only=True)) == [both]
    assert ids(history, HistoryQuery(name="holiday")) == [old]
    assert ids(history, HistoryQuery(since=NOON - DAY, until=NOON)) == [old]
    assert ids(history, HistoryQuery(until=-1e10)) == []
    assert ids(history, HistoryQuery(since=1e12)) == []
    assert ids(history, limit=2) == [nobody, other]


def test_records_are_read_once(
    state: StateBucket, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the second search: one listing, and one object for each hour."""
    made = [answered(state, NOON + n, face(GRACE)) for n in range(20)]
    assert ids(history) == made[::-1]
    read: list[str] = []
    find = StateBucket.find
    monkeypatch.setattr(
        StateBucket, "find", lambda self, name: read.append(name) or find(self, name)
    )
    late = answered(state, NOON + 30, face(GRACE))
    assert ids(history, HistoryQuery(person=GRACE)) == [late, *made[::-1]]
    assert sorted(read) == [layout.history(datetime.fromtimestamp(NOON, UTC)), layout.result(late)]


def test_ids_of_others_are_left_out(state: StateBucket, history: History) -> None:
    answer = Answer("00000000-0000-4000-8000-000000000001", "a.jpg", "v1", "no-face")
    Results(state).create(answer)
    assert ids(history) == []


def test_what_is_older_than_the_retention_is_not_shown(settings: Settings) -> None:
    create_buckets(settings)
    kept = StateBucket(settings.model_copy(update={"retention_days": 2}))
    answered(kept, NOON - 2 * DAY)
    recent = answered(kept, NOON)
    assert ids(History(kept)) == [recent]


def raw(settings: Settings) -> bytes:
    """Every version of everything about past answers, as bytes."""
    s3 = client(settings, "s3")
    bucket = settings.state_bucket
    found = b""
    for prefix in (layout.RESULTS, layout.HISTORY):
        listed = s3.list_object_versions(Bucket=bucket, Prefix=prefix)
        for version in listed.get("Versions", ()):
            got = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
            found += got["Body"].read()
    return found


def enrolled(state: StateBucket) -> tuple[People, str, str]:
    people = People(state)
    gallery = people.add(
        {
            name: [Sample(name.encode(), np.full(128, value, np.float32))]
            for name, value in (("Grace", 0.1), ("Eileen", 0.5))
        }
    )
    return people, *(gallery.ids[gallery.index(name)] for name in ("Grace", "Eileen"))


def test_who_is_erased_is_so_from_past_answers(state: StateBucket, history: History) -> None:
    people, grace, eileen = enrolled(state)
    named = answered(state, NOON, face(grace), face(eileen, "Eileen"))
    likened = answered(state, NOON + 1, face(candidates=[grace]))
    other = answered(state, NOON + 2, face(eileen, "Eileen"))
    assert ids(history, HistoryQuery(person=grace)) == [named]
    people.remove("Grace")
    assert ids(history, HistoryQuery(person=grace)) == []
    assert ids(history, HistoryQuery(unknown_only=True)) == [likened, named]
    assert ids(history, HistoryQuery(person=eileen)) == [other, named]
    assert b"Grace" not in raw(state.settings)
    assert grace.encode() not in raw(state.settings)
    answer = Results(state).get(named)
    assert answer
    assert (answer.outcome, [f.name for f in answer.faces]) == ("unknown", ["unknown", "Eileen"])


def test_after_a_merge_past_answers_name_who_stays(state: StateBucket, history: History) -> None:
    people, grace, eileen = enrolled(state)
    named = answered(state, NOON, face(grace))
    people.merge(eileen, grace)
    assert ids(history, HistoryQuery(person=eileen)) == [named]
    answer = Results(state).get(named)
    assert answer
    assert answer.name == "Eileen"


def test_a_purge_leaves_nothing_in_the_index(state: StateBucket, history: History) -> None:
    answered(state, NOON, face(GRACE), key="secret.jpg")
    kept = answered(state, NOON + 1, key="other.jpg")
    assert len(ids(history)) == 2
    Photos(state.settings).purge(Selection(frozenset(["secret.jpg"])))
    assert b"secret" not in raw(state.settings)
    assert ids(history) == [kept]
