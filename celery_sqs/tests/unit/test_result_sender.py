"""The result first, then the acknowledgement; one queue's trouble is no other's."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from celery_sqs._aws import batching
from celery_sqs._aws.client import Account
from celery_sqs._results import sender as module
from celery_sqs._results.sender import Destination, Result, ResultSender, capture_results, enqueue

from celery_sqs import _runtime

Eventually = Callable[..., None]


class Sqs:
    """Queues by name; ``trouble`` is raised and ``failed`` answered before success."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[str]]] = []
        self.missing: set[str] = set()
        self.trouble: dict[str, list[Exception]] = {}
        self.failed: dict[str, list[list[dict[str, Any]]]] = {}
        self.asked = 0
        self.hold = threading.Event()
        self.hold.set()

    def get_queue_url(self, QueueName: str) -> dict[str, str]:
        if QueueName in self.missing:
            raise no_queue()
        return {"QueueUrl": QueueName}

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        self.asked += 1
        assert self.hold.wait(10)
        if self.trouble.get(QueueUrl):
            raise self.trouble[QueueUrl].pop(0)
        self.sent.append((QueueUrl, [entry["MessageBody"] for entry in Entries]))
        failed = self.failed.get(QueueUrl)
        return {"Failed": failed.pop(0) if failed else []}


def no_queue() -> ClientError:
    response = {
        "Error": {"Code": "QueueDoesNotExist"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    return ClientError(response, "SendMessageBatch")  # type: ignore[arg-type]


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    sqs = Sqs()
    monkeypatch.setattr(module, "make_client", lambda *_, **__: sqs)
    monkeypatch.setattr(batching, "RETRY_SECONDS", 0.01)
    return sqs


def answer(text: str, receipt: str | None = None, queue: str = "q") -> Result:
    return Result(Destination(Account(), queue), f"task-{text}", text, receipt or f"receipt-{text}")


def test_the_message_is_acknowledged_after_its_result(sqs: Sqs) -> None:
    result_sender, order = ResultSender(), list[str]()
    sqs.trouble["q"] = [EndpointConnectionError(endpoint_url="http://nowhere")] * 3
    result_sender.send(answer("a"))
    result_sender.after("receipt-a", lambda: order.append(f"after {sqs.sent}"))
    assert not order
    assert result_sender.flush()
    assert order == ["after [('q', ['a'])]"]
    assert result_sender.counters == {"sent": 1}


def test_without_a_pending_result_nothing_waits(sqs: Sqs) -> None:
    result_sender, order = ResultSender(), list[str]()
    result_sender.send(answer("a"))
    assert result_sender.flush()
    result_sender.after("receipt-a", lambda: order.append("answered"))
    result_sender.after("another", lambda: order.append("nothing to say"))
    assert order == ["answered", "nothing to say"]


def test_the_first_result_of_a_delivery_counts(sqs: Sqs) -> None:
    """Celery stores a failure for a task that was dead-lettered after it had answered."""
    result_sender = ResultSender()
    result_sender.send(answer("poison", receipt="r"))
    result_sender.send(answer("failure", receipt="r"))
    assert result_sender.flush()
    result_sender.send(answer("failure again", receipt="r"))
    assert result_sender.flush()
    assert sqs.sent == [("q", ["poison"])]


def test_results_of_a_chords_parts_wait_for_each_other(sqs: Sqs, eventually: Eventually) -> None:
    result_sender = ResultSender()
    for text in "abc":
        result_sender.send(replace(answer(text), linger=module.PART_LINGER))
    assert not sqs.sent
    eventually(lambda: sqs.sent)
    result_sender.send(replace(answer("d"), linger=60.0))
    result_sender.send(answer("e"))
    eventually(lambda: len(sqs.sent) == 2)
    assert sqs.sent == [("q", ["a", "b", "c"]), ("q", ["d", "e"])]


def test_a_refused_result_costs_no_other(
    sqs: Sqs, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    result_sender, gone = ResultSender(), list[str]()
    sqs.hold.clear()
    result_sender.send(answer("first", queue="other"))  # in flight while the others gather
    eventually(lambda: sqs.asked)
    sqs.failed["q"] = [
        [
            {"Id": "0", "Code": "InvalidMessageContents", "SenderFault": True},
            {"Id": "1", "Code": "InternalError", "SenderFault": False},
        ],
    ]
    for text in "abc":
        result_sender.send(answer(text))
        result_sender.after(f"receipt-{text}", lambda text=text: gone.append(text))  # type: ignore[misc]
    sqs.hold.set()
    assert result_sender.flush()
    assert [sent for sent in sqs.sent if sent[0] == "q"] == [("q", ["a", "b", "c"]), ("q", ["b"])]
    assert gone == ["a", "c", "b"]
    assert result_sender.counters == {"sent": 3, "not_sent": 1}
    assert "task-a" in caplog.text


def test_a_queue_that_is_gone_fails_no_task_and_is_looked_for_again(
    sqs: Sqs, caplog: pytest.LogCaptureFixture
) -> None:
    result_sender, done = ResultSender(), list[str]()
    sqs.trouble["q"] = [no_queue()]
    result_sender.send(answer("a"))
    result_sender.after("receipt-a", lambda: done.append("a"))
    assert result_sender.flush()
    sqs.missing = {"q"}
    result_sender.send(answer("b"))
    result_sender.after("receipt-b", lambda: done.append("b"))
    assert result_sender.flush()
    sqs.missing = set()
    result_sender.send(answer("c"))
    assert result_sender.flush()
    assert done == ["a", "b"]
    assert sqs.sent == [("q", ["c"])]
    assert result_sender.counters == {"sent": 1, "not_sent": 2}
    assert "task-b to q not sent" in caplog.text


def test_throttling_of_one_queue_delays_no_other(sqs: Sqs, eventually: Eventually) -> None:
    throttled = ClientError(
        {"Error": {"Code": "RequestThrottled"}, "ResponseMetadata": {"HTTPStatusCode": 400}},  # type: ignore[arg-type]
        "SendMessageBatch",
    )
    result_sender, done = ResultSender(retry_timeout=0.3), list[str]()
    sqs.trouble["slow"] = [throttled] * 10_000
    result_sender.send(answer("a", queue="slow"))
    result_sender.after("receipt-a", lambda: done.append("a"))
    result_sender.send(answer("b", queue="fine"))
    result_sender.after("receipt-b", lambda: done.append("b"))
    eventually(lambda: done == ["b", "a"])  # a was given up: its task has succeeded
    assert sqs.sent == [("fine", ["b"])]


def test_what_is_remembered_is_bounded(sqs: Sqs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 5)
    result_sender = ResultSender()
    for n in range(20):
        result_sender.send(answer(str(n)))
    assert result_sender.flush()
    result_sender.send(answer("19"))  # known to be sent
    result_sender.send(answer("0"))  # forgotten
    assert result_sender.flush()
    assert result_sender.counters == {"sent": 21}


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, sqs: Sqs) -> ResultSender:
    _runtime.discard(ResultSender)
    module.start_result_sender()
    result_sender = module.get_result_sender()
    assert result_sender is not None
    return result_sender


def test_a_child_gives_results_to_its_parent(worker: ResultSender, sqs: Sqs) -> None:
    def task(number: int) -> int:
        assert enqueue(answer("child's"))
        return number + 1

    outcome, answers = capture_results(task, 1)
    assert (outcome, [a.body for a in answers]) == (2, ["child's"])
    assert not sqs.sent


def test_a_task_that_raises_leaves_no_result_to_the_next(worker: ResultSender) -> None:
    def task() -> None:
        enqueue(answer("lost"))
        raise SystemExit

    with pytest.raises(SystemExit):
        capture_results(task)
    assert capture_results(int)[1] == []


def test_without_a_worker_the_caller_sends() -> None:
    _runtime.discard(ResultSender)
    assert not enqueue(answer("a"))


def test_a_forked_child_has_no_result_sender(worker: ResultSender) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if module.get_result_sender() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
