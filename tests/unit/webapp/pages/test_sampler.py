"""One look for all who watch, none when nobody does."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from facerec_tasks.errors import Overloaded
from webapp.pages import sampler
from webapp.pages.sampler import Sampler

EVERY = 0.05


class Looks:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, now: float) -> dict[str, Any]:
        self.count += 1
        return {"number": self.count}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "LINGER", 0.2)


def running() -> bool:
    return any(thread.name == "sampler" for thread in threading.enumerate())


def test_watchers_share_one_sample(eventually: Callable[..., None]) -> None:
    looks = Looks()
    shared = Sampler(looks, every=EVERY)
    assert looks.count == 0
    seen: list[list[int]] = [[] for _ in range(10)]

    def watch(mine: list[int]) -> None:
        with shared.stream():
            number = 0
            while len(mine) < 5:
                found = shared.after(number, timeout=5)
                assert found is not None
                number = found[0]
                mine.append(json.loads(found[1])["number"])

    threads = [threading.Thread(target=watch, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert all(len(mine) == 5 for mine in seen)
    assert looks.count <= max(mine[-1] for mine in seen) + 3
    eventually(lambda: not running())
    before = looks.count
    time.sleep(3 * EVERY)
    assert looks.count == before, "nobody watches"


def test_late_watcher_gets_no_stale_snapshot(eventually: Callable[..., None]) -> None:
    now = 1000.0
    shared = Sampler(Looks(), every=EVERY, clock=lambda: now)
    first = shared.after(0, timeout=5)
    eventually(lambda: not running())
    now += 100
    later = shared.after(0, timeout=5)
    assert first is not None
    assert later is not None
    assert later[0] > first[0]
    eventually(lambda: not running())


def test_event_streams_are_bounded(eventually: Callable[..., None]) -> None:
    shared = Sampler(Looks(), every=EVERY, most=1)
    for _ in range(2):
        with shared.stream(), pytest.raises(Overloaded), shared.stream():
            pass
    assert shared.after(0, timeout=5) is not None, "polling needs no place"
    eventually(lambda: not running())


def test_failed_sample_is_reported_and_retried(eventually: Callable[..., None]) -> None:
    def look(now: float) -> dict[str, Any]:
        raise RuntimeError("a bug")

    shared = Sampler(look, every=EVERY)
    with shared.stream():
        first = shared.after(0, timeout=5)
        assert first is not None
        assert "see the log" in json.loads(first[1])["faults"][0]
        assert shared.after(first[0], timeout=5) is not None
    eventually(lambda: not running())
