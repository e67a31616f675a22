"""One controller at a time."""

from pathlib import Path

import pytest

from autoscale.lease import CALL, DURATION, RENEW, ControllerLock, LeaderLease, LeaseRecord
from facerec_tasks.errors import Unavailable
from facerec_tasks.storage.layout import LEASE
from tests.memory_state import MemoryStateStore


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state() -> MemoryStateStore:
    return MemoryStateStore()


def lease(state: MemoryStateStore, clock: Clock, folder: Path, run: str) -> LeaderLease:
    return LeaderLease(state, ControllerLock("machine", folder), run, clock)


def test_lease_has_one_holder(state: MemoryStateStore, clock: Clock, tmp_path: Path) -> None:
    first, second = (lease(state, clock, tmp_path / run, run) for run in "ab")
    assert first.keep()
    for _ in range(200):
        clock.now += 1.0
        assert first.keep()
        assert not second.keep()
        assert first.suffices


def test_lease_is_taken_over_after_a_minute_of_silence(
    state: MemoryStateStore, clock: Clock, tmp_path: Path
) -> None:
    first, second = (lease(state, clock, tmp_path / run, run) for run in "ab")
    first.keep()
    died = clock.now
    while not second.keep():
        clock.now += 5.0
    assert DURATION <= clock.now - died <= 60.0
    assert first.left <= 0
    assert not first.keep(), "the one that wakes up has lost it"


def test_lease_is_taken_over_at_once_on_the_same_machine(
    state: MemoryStateStore, clock: Clock, tmp_path: Path
) -> None:
    place = ControllerLock("machine", tmp_path)
    first = LeaderLease(state, place, "a", clock)
    assert first.keep()
    second = lease(state, clock, tmp_path, "b")
    assert not second.keep(), "the lock file is held: the first one lives"
    place.release()  # as the kernel does when a process dies
    assert second.keep()


def test_released_lease_is_free_at_once(
    state: MemoryStateStore, clock: Clock, tmp_path: Path
) -> None:
    first, second = (lease(state, clock, tmp_path / run, run) for run in "ab")
    first.keep()
    first.release()
    assert first.left < 0
    assert second.keep()


def test_lease_race_has_one_winner(state: MemoryStateStore, clock: Clock, tmp_path: Path) -> None:
    first, second, third = (lease(state, clock, tmp_path / run, run) for run in "abc")
    first.keep()
    second.keep()
    third.keep()
    clock.now += DURATION
    assert [second.keep(), third.keep()] == [True, False]


def test_no_call_may_outlast_the_lease(
    state: MemoryStateStore, clock: Clock, tmp_path: Path
) -> None:
    held = lease(state, clock, tmp_path, "a")
    held.keep()
    clock.now += DURATION - CALL
    assert held.left > 0
    assert not held.suffices


def test_lease_renewal_with_lost_response_is_recognized(
    state: MemoryStateStore, clock: Clock, tmp_path: Path
) -> None:
    held = lease(state, clock, tmp_path, "a")
    held.keep()
    found = state.find(LEASE)
    assert found is not None
    holder = LeaseRecord.from_json(found.data)
    assert holder is not None
    state.put(LEASE, LeaseRecord("a", holder.place, 99).to_json())
    clock.now += RENEW + 1
    assert held.keep()
    assert held.left == DURATION


def test_lease_is_held_until_expiry_while_s3_fails(
    state: MemoryStateStore, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lease(state, clock, tmp_path, "a")
    held.keep()

    def fail(*_: object, **__: object) -> str:
        raise Unavailable("down")

    monkeypatch.setattr(state, "put", fail)
    clock.now += 20
    with pytest.raises(Unavailable):
        held.keep()
    assert held.left == DURATION - 20


def test_corrupt_lease_is_overwritten(
    state: MemoryStateStore, clock: Clock, tmp_path: Path
) -> None:
    state.put(LEASE, b"\xff not json")
    assert lease(state, clock, tmp_path, "a").keep()
