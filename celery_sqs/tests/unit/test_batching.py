"""Entries gather, pay for their own failures alone, and are flushed within a bound."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from celery_sqs._aws import batching as module
from celery_sqs._aws.batching import BatchProcessor
from celery_sqs._aws.queues import MAX_BATCH_BYTES

Eventually = Callable[..., None]


class Calls:
    """What was carried, by line; ``answers`` are given before success, errors raised."""

    def __init__(self, *answers: dict[int, bool] | Exception) -> None:
        self.made: list[tuple[str, list[str]]] = []
        self.answers = list(answers)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, line: str, items: Sequence[str]) -> dict[int, bool]:
        assert self.gate.wait(10)
        self.made.append((line, list(items)))
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def make(calls: Calls, retry_timeout: float = 60.0) -> BatchProcessor[str, str]:
    return BatchProcessor(calls, name="test", retry_timeout=retry_timeout)


def refusal(code: str, status: int = 400) -> ClientError:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "SendMessageBatch")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)


def test_ten_go_at_once_and_the_rest_with_the_flush(eventually: Eventually) -> None:
    calls = Calls()
    batches = make(calls)
    for n in range(12):
        batches.add("q", str(n), linger=60)
    eventually(lambda: batches.flushed == 10)
    assert batches.flush()
    assert [len(items) for _, items in calls.made] == [10, 2]
    assert (batches.flushed, batches.failed, batches.calls) == (12, 0, 2)


def test_a_few_go_when_the_first_has_lingered(eventually: Eventually) -> None:
    calls = Calls()
    batches = make(calls)
    batches.add("q", "a", linger=0.05)
    batches.add("q", "b", linger=60)
    eventually(lambda: calls.made == [("q", ["a", "b"])])


def test_what_comes_while_a_call_is_in_flight_goes_with_the_next(eventually: Eventually) -> None:
    calls = Calls()
    calls.gate.clear()
    batches = make(calls)
    batches.add("q", "first")
    eventually(lambda: batches.calls == 1)
    for item in "abc":
        batches.add("q", item)
    calls.gate.set()
    eventually(lambda: batches.flushed == 4)
    assert calls.made == [("q", ["first"]), ("q", ["a", "b", "c"])]


def test_a_call_holds_entries_of_one_queue() -> None:
    calls = Calls()
    batches = make(calls)
    for line, item in (("q", "1"), ("r", "2"), ("q", "3")):
        batches.add(line, item, linger=60)
    assert batches.flush()
    assert calls.made == [("q", ["1", "3"]), ("r", ["2"])]


def test_large_entries_share_no_call() -> None:
    calls = Calls()
    batches = make(calls)
    for item in "abc":
        batches.add("q", item, size=MAX_BATCH_BYTES // 2, linger=60)
    batches.add("q", "d", size=MAX_BATCH_BYTES * 2, linger=60)  # AWS will say what it thinks of it
    assert batches.flush()
    assert calls.made == [("q", ["a", "b"]), ("q", ["c"]), ("q", ["d"])]


def test_a_failed_entry_alone_is_tried_again(eventually: Eventually) -> None:
    calls = Calls({0: False, 2: True})
    batches = make(calls)
    for item in "abc":
        batches.add("q", item, linger=60)
    assert batches.flush()
    assert calls.made == [("q", ["a", "b", "c"]), ("q", ["c"])]
    assert (batches.flushed, batches.failed) == (2, 1)


@pytest.mark.parametrize(
    "trouble",
    [
        EndpointConnectionError(endpoint_url="http://nowhere"),
        refusal("RequestThrottled"),
        refusal("InternalFailure", 500),
        RuntimeError("a defect"),
    ],
)
def test_a_call_that_fails_is_made_again(trouble: Exception) -> None:
    calls = Calls(trouble, trouble)
    batches = make(calls)
    for item in "ab":
        batches.add("q", item, linger=60)
    assert batches.flush()
    assert calls.made == [("q", ["a", "b"])] * 3
    assert (batches.flushed, batches.failed) == (2, 0)


def test_a_call_that_is_refused_goes_one_by_one() -> None:
    calls = Calls(refusal("InvalidMessageContents"), {}, {0: False}, {})
    batches = make(calls)
    for item in "abc":
        batches.add("q", item, linger=60)
    assert batches.flush()
    assert calls.made == [("q", ["a", "b", "c"]), ("q", ["a"]), ("q", ["b"]), ("q", ["c"])]
    assert (batches.flushed, batches.failed) == (2, 1)


def test_what_keeps_failing_is_given_up_and_delays_nobody(eventually: Eventually) -> None:
    class Broken(Calls):
        def __call__(self, line: str, items: Sequence[str]) -> dict[int, bool]:
            super().__call__(line, items)
            if line == "broken":
                raise refusal("RequestThrottled")
            return {}

    calls, followed = Broken(), list[str]()
    batches = make(calls, retry_timeout=0.2)
    batches.add("broken", "a", on_done=lambda: followed.append("a"))
    eventually(lambda: calls.made)
    batches.add("fine", "b", on_done=lambda: followed.append("b"))
    eventually(lambda: batches.failed == 1)
    assert followed == ["b", "a"]
    assert batches.flushed == 1


def test_nothing_that_follows_ends_the_thread(eventually: Eventually) -> None:
    def broken() -> None:
        raise RuntimeError("a defect")

    calls = Calls()
    batches = make(calls)
    batches.add("q", "a", on_done=broken)
    batches.add("q", "b")
    eventually(lambda: batches.flushed == 2)
    assert batches.flush()


def test_a_flush_has_an_end() -> None:
    calls = Calls(*[refusal("RequestThrottled")] * 1000)
    batches = make(calls)
    batches.add("q", "a", linger=60)
    began = time.monotonic()
    assert not batches.flush(timeout=0.2)
    assert time.monotonic() - began < 5


def test_a_flush_waits_for_the_call_in_flight(eventually: Eventually) -> None:
    calls = Calls()
    calls.gate.clear()
    batches = make(calls)
    batches.add("q", "a")
    eventually(lambda: batches.calls == 1)
    threading.Timer(0.1, calls.gate.set).start()
    assert batches.flush()
    assert batches.flushed == 1


def test_entries_added_after_close_are_flushed() -> None:
    calls = Calls()
    batches = make(calls)
    batches.close()
    batches.add("q", "a", linger=60)
    assert calls.made == [("q", ["a"])]


def test_entries_of_many_threads_arrive_once() -> None:
    calls = Calls()
    batches = make(calls)

    def add(name: str) -> None:
        for n in range(100):
            batches.add("qr"[n % 2], f"{name}{n}")

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert batches.flush()
    items = [item for _, batch in calls.made for item in batch]
    assert len(items) == len(set(items)) == 800
    assert max(len(batch) for _, batch in calls.made) <= 10


FORKED = """
import os
from celery_sqs._aws.batching import BatchProcessor

def carry(line, items):
    carried.extend(items)
    return {}

carried = []
batches = BatchProcessor(carry, name="test", retry_timeout=60)
batches.add("q", "parents", linger=60)
child = os.fork()
batches.add("q", "childs" if child == 0 else "parents too", linger=60)
assert batches.flush(), "not flushed"
if child == 0:
    os._exit(0 if carried == ["childs"] else 1)
assert carried == ["parents", "parents too"], carried
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_flushes_nothing_of_its_parent() -> None:
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60).returncode == 0
