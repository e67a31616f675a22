"""Groups of unknown faces, made of past answers."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.metrics import encoded
from facerec_tasks.schemas import UNKNOWN_KIND, Answer, Face
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.photos import Photos, Selection
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.storage.unknown_faces import UnknownFaces
from facerec_tasks.task_ids import new_task_id

Seen = Callable[..., str]
PEOPLE = np.eye(128, dtype=np.float32)


@pytest.fixture
def seen(state: StateBucket) -> Seen:
    def add(person: int | None, *, ago: float = 0.0, side: float = 50.0) -> str:
        """A photo of a person, or of a face that is not good enough."""
        embedding = None if person is None else encoded(PEOPLE[person], UNKNOWN_KIND)
        box = (10.0, 10.0, 10 + side, 10 + side)
        face = Face("unknown", box, ((1, 1),) * 5, 0.99, embedding=embedding)
        made = Answer(
            new_task_id(time.time() - ago), f"{person}.jpg", "v", "unknown",
            faces=(face,), width=100, height=100, engine="resnet128",
        )  # fmt: skip
        Results(state).create(made)
        return made.task_id

    return add


def members(state: StateBucket) -> list[set[str]]:
    found = UnknownFaces(state).groups(RESNET128)
    return [{face.task_id for face in faces} for faces in found.values()]


def test_faces_are_grouped_and_new_ones_join(state: StateBucket, seen: Seen) -> None:
    first, second, other = seen(0, ago=9), seen(0, ago=8), seen(1, ago=7)
    seen(None, ago=6)
    assert members(state) == [{first, second}, {other}]
    ids = list(UnknownFaces(state).groups(RESNET128))
    third = seen(0, side=80)
    assert members(state) == [{first, second, third}, {other}]
    assert list(UnknownFaces(state).groups(RESNET128)) == ids
    assert UnknownFaces(state).group(ids[0])[0].task_id == third, "the largest face first"


def test_what_is_put_away_is_erased_and_stays_away(state: StateBucket, seen: Seen) -> None:
    task_id = seen(0)
    unknown = UnknownFaces(state)
    (faces,) = unknown.groups(RESNET128).values()
    unknown.forget(faces)
    record = Results(state).get(task_id)
    assert record
    assert (record.faces[0].name, record.faces[0].embedding) == ("unknown", None)
    assert members(state) == []


def test_faces_go_with_their_answers(settings: Settings, state: StateBucket, seen: Seen) -> None:
    gone, kept = seen(0), seen(1)
    old = seen(2, ago=3 * 86400)
    assert len(members(state)) == 3
    short = StateBucket(settings.model_copy(update={"retention_days": 2}))
    assert members(short) == [{kept}, {gone}] or members(short) == [{gone}, {kept}]
    stored = state.find(layout.UNKNOWN_GROUPS)
    assert stored
    assert old.encode() not in stored.data
    Photos(settings).purge(Selection(frozenset(["0.jpg"])))
    assert members(short) == [{kept}]


def test_another_engine_begins_anew(state: StateBucket, seen: Seen) -> None:
    seen(0)
    assert len(members(state)) == 1
    assert UnknownFaces(state).groups(type(RESNET128)(**{**vars(RESNET128), "name": "own"})) == {}
