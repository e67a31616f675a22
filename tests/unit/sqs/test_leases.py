"""Leases are extended while they are held, not longer than told, whatever AWS answers."""

import threading
import time
from collections.abc import Callable

import pytest
from celery_sqs._broker.visibility import Lease, Leases
from celery_sqs.options import LONGEST_VISIBILITY


def lease(receipt: str, url: str = "u", since: float | None = None) -> Lease:
    return Lease("q", url, receipt, "body", 1, time.monotonic() if since is None else since)


def test_due_are_those_held_and_young_enough() -> None:
    leases = Leases(lambda *_: None, timeout=30, longest=100)
    for one in (lease("young", since=950), lease("old", since=899), lease("gone", since=950)):
        leases.add(one)
    assert leases.pop("gone") == lease("gone", since=950)
    assert leases.pop("gone") is None
    assert [one.receipt for one in leases._due(1000)] == ["young"]


def test_what_has_ended_is_extended_until_it_is_settled() -> None:
    leases = Leases(lambda *_: None, timeout=30, longest=100)
    leases.add(lease("a", since=950))
    assert leases.end("a") == lease("a", since=950)
    assert leases.end("a") is None
    assert not leases.held()  # nothing to hand back
    assert [one.receipt for one in leases._due(1000)] == ["a"]
    assert leases.pop("a") is not None
    assert not leases._due(1000)


def test_the_bound_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    leases = Leases(lambda *_: None, timeout=30, longest=100)
    leases.add(lease("old", since=0))
    leases._due(1000)
    leases._due(1010)
    assert len([r for r in caplog.records if "extended no further" in r.getMessage()]) == 1


def test_never_beyond_what_aws_allows() -> None:
    leases = Leases(lambda *_: None, timeout=30, longest=10**9)
    leases.add(lease("a", since=0))
    assert leases._due(LONGEST_VISIBILITY - 31)
    assert not leases._due(LONGEST_VISIBILITY - 30)


def test_the_thread_extends_by_queue_and_survives_failures(
    eventually: Callable[..., None],
) -> None:
    calls: list[tuple[str, list[str], int]] = []
    failed = threading.Event()

    def extend(url: str, receipts: list[str], seconds: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("no route")
        calls.append((url, receipts, seconds))

    leases = Leases(extend, timeout=3, longest=100)
    leases._timeout = 0.15  # type: ignore[assignment] # a third of it is the pause
    for one in (lease("a"), lease("b"), lease("c", url="other")):
        leases.add(one)
    leases.start()
    leases.start()
    eventually(lambda: len(calls) >= 3, within=5)
    leases.close()
    assert ("u", ["a", "b"], 0.15) in calls
    assert ("other", ["c"], 0.15) in calls
