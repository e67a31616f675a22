"""What lease and intent rely on, of memory and of S3."""

import pytest

from autoscale.state import StateStore
from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from tests.memory_state import MemoryStateStore


@pytest.fixture(params=["memory", "bucket"])
def state(request: pytest.FixtureRequest) -> StateStore:
    if request.param == "memory":
        return MemoryStateStore()
    return StateBucket(request.getfixturevalue("resources"), layout.CONTROLLER)


def test_what_was_put_is_found_with_its_etag(state: StateStore) -> None:
    assert state.find("x") is None
    etag = state.put("x", b"1")
    found = state.find("x")
    assert found is not None
    assert (found.data, found.etag) == (b"1", etag)


def test_only_the_first_creates(state: StateStore) -> None:
    state.put("x", b"1", if_absent=True)
    with pytest.raises(PreconditionFailed):
        state.put("x", b"2", if_absent=True)


def test_conditional_put_requires_the_current_etag(state: StateStore) -> None:
    first = state.put("x", b"1")
    state.put("x", b"2", if_match=first)
    with pytest.raises(PreconditionFailed):
        state.put("x", b"3", if_match=first)
    found = state.find("x")
    assert found is not None
    assert found.data == b"2"


def test_names_come_in_order(state: StateStore) -> None:
    for name in ("d/2", "d/1", "e/1"):
        state.put(name, b"")
    assert state.names("d/") == ("d/1", "d/2")
    assert state.names("nothing") == ()
