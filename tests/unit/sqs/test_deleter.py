"""Batched deletions."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from facerec_tasks.sqs import deleter as module
from facerec_tasks.sqs.deleter import Deleter

Eventually = Callable[..., None]


class Sqs:
    """Keeps the batches it was asked to delete; ``answers`` come before success."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.batches: list[tuple[str, list[str]]] = []
        self.answers = list(answers)

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        self.batches.append((QueueUrl, [entry["ReceiptHandle"] for entry in Entries]))
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def make(sqs: Sqs, linger: float = 60.0) -> Deleter:
    return Deleter(lambda: sqs, linger=linger)  # type: ignore[arg-type, return-value]


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "DeleteMessageBatch")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_PAUSE", 0.0)


def test_ten_go_at_once_and_the_rest_with_the_flush(eventually: Eventually) -> None:
    sqs = Sqs()
    deleter = make(sqs)
    for i in range(12):
        deleter.add("q", str(i))
    eventually(lambda: deleter.deleted == 10)
    assert deleter.flush()
    assert [len(handles) for _, handles in sqs.batches] == [10, 2]
    assert (deleter.deleted, deleter.failed, deleter.calls) == (12, 0, 2)


def test_a_few_go_after_the_linger(eventually: Eventually) -> None:
    sqs = Sqs()
    make(sqs, linger=0.05).add("q", "a")
    eventually(lambda: sqs.batches == [("q", ["a"])])


def test_a_batch_holds_messages_of_one_queue() -> None:
    sqs = Sqs()
    deleter = make(sqs)
    for queue, handle in (("q", "1"), ("r", "2"), ("q", "3")):
        deleter.add(queue, handle)
    assert deleter.flush()
    assert sqs.batches == [("q", ["1", "3"]), ("r", ["2"])]


def test_a_failed_call_is_made_again_and_then_given_up() -> None:
    sqs = Sqs(*[refusal("RequestThrottled")] * 3)
    deleter = make(sqs)
    deleter.add("q", "a")
    assert deleter.flush()
    assert len(sqs.batches) == 3
    assert (deleter.deleted, deleter.failed) == (0, 1)


def test_only_the_entries_that_may_pass_are_tried_again() -> None:
    failed = [
        {"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True},
        {"Id": "2", "Code": "InternalError", "SenderFault": False},
    ]
    sqs = Sqs({"Failed": failed})
    deleter = make(sqs)
    for handle in "abc":
        deleter.add("q", handle)
    assert deleter.flush()
    assert [handles for _, handles in sqs.batches] == [["a", "b", "c"], ["c"]]
    assert (deleter.deleted, deleter.failed) == (2, 1)


def test_messages_of_a_deleted_queue_are_gone_already() -> None:
    sqs = Sqs(refusal("AWS.SimpleQueueService.NonExistentQueue"))
    deleter = make(sqs)
    deleter.add("q", "a")
    assert deleter.flush()
    assert len(sqs.batches) == 1


def test_nothing_a_call_raises_ends_the_thread() -> None:
    sqs = Sqs(RuntimeError("a bug"))
    deleter = make(sqs)
    deleter.add("q", "a")
    assert deleter.flush()
    deleter.add("q", "b")
    assert deleter.flush()
    assert (deleter.deleted, deleter.failed) == (1, 1)


FORKED = """
import os
from facerec_tasks.sqs.deleter import Deleter

class Sqs:
    def delete_message_batch(self, QueueUrl, Entries):
        handles.extend(entry["ReceiptHandle"] for entry in Entries)
        return {}

handles = []
deleter = Deleter(Sqs, linger=60)
deleter.add("q", "parents")
child = os.fork()
deleter.add("q", "childs" if child == 0 else "parents too")
assert deleter.flush(), "not flushed"
if child == 0:
    os._exit(0 if handles == ["childs"] else 1)
assert handles == ["parents", "parents too"], handles
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_deletes_nothing_of_its_parent() -> None:
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60).returncode == 0
