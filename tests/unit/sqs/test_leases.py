"""Visibility is extended while a message is held, up to a bound, whatever AWS answers."""

import threading
import time
from collections.abc import Callable

import pytest
from celery_sqs._broker.visibility import HeldMessage, VisibilityExtender
from celery_sqs.options import LONGEST_VISIBILITY


def held(receipt: str, url: str = "u", since: float | None = None) -> HeldMessage:
    return HeldMessage("q", url, receipt, "body", 1, time.monotonic() if since is None else since)


def test_due_are_those_held_and_young_enough() -> None:
    messages = VisibilityExtender(lambda *_: None, timeout=30, longest=100)
    for one in (held("young", since=950), held("old", since=899), held("gone", since=950)):
        messages.add(one)
    assert messages.pop("gone") == held("gone", since=950)
    assert messages.pop("gone") is None
    assert [one.receipt for one in messages._due(1000)] == ["young"]


def test_what_has_ended_is_extended_until_it_is_settled() -> None:
    messages = VisibilityExtender(lambda *_: None, timeout=30, longest=100)
    messages.add(held("a", since=950))
    assert messages.end("a") == held("a", since=950)
    assert messages.end("a") is None
    assert not messages.held()  # nothing to hand back
    assert [one.receipt for one in messages._due(1000)] == ["a"]
    assert messages.pop("a") is not None
    assert not messages._due(1000)


def test_the_bound_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    messages = VisibilityExtender(lambda *_: None, timeout=30, longest=100)
    messages.add(held("old", since=0))
    messages._due(1000)
    messages._due(1010)
    assert len([r for r in caplog.records if "extended no further" in r.getMessage()]) == 1


def test_never_beyond_what_aws_allows() -> None:
    messages = VisibilityExtender(lambda *_: None, timeout=30, longest=10**9)
    messages.add(held("a", since=0))
    assert messages._due(LONGEST_VISIBILITY - 31)
    assert not messages._due(LONGEST_VISIBILITY - 30)


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

    messages = VisibilityExtender(extend, timeout=3, longest=100)
    messages._timeout = 0.15  # type: ignore[assignment] # a third of it is the pause
    for one in (held("a"), held("b"), held("c", url="other")):
        messages.add(one)
    messages.start()
    messages.start()
    eventually(lambda: len(calls) >= 3, within=5)
    messages.close()
    assert ("u", ["a", "b"], 0.15) in calls
    assert ("other", ["c"], 0.15) in calls
