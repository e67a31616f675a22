"""The answer first, then the request; one queue's trouble is no other's."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from celery_sqs._aws import batching
from celery_sqs._results import sender as module
from celery_sqs._results.sender import Answer, Desk, Line, gathering, hand_over

Eventually = Callable[..., None]


class Sqs:
    """Queues by name; ``trouble`` is raised and ``failed`` answered before success."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[str]]] = []
        self.missing: set[str] = set()
        self.trouble: dict[str, list[Exception]] = {}
        self.failed: list[list[dict[str, Any]]] = []

    def get_queue_url(self, QueueName: str) -> dict[str, str]:
        if QueueName in self.missing:
            raise no_queue()
        return {"QueueUrl": QueueName}

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        if self.trouble.get(QueueUrl):
            raise self.trouble[QueueUrl].pop(0)
        self.sent.append((QueueUrl, [entry["MessageBody"] for entry in Entries]))
        return {"Failed": self.failed.pop(0) if self.failed else []}


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
    monkeypatch.setattr(batching, "RETRY_PAUSE", 0.01)
    return sqs


def answer(text: str, receipt: str | None = None, queue: str = "q") -> Answer:
    return Answer(Line(None, None, queue), f"task-{text}", text, receipt or f"receipt-{text}")


def test_the_request_goes_after_its_answer(sqs: Sqs) -> None:
    desk, order = Desk(), list[str]()
    sqs.trouble["q"] = [EndpointConnectionError(endpoint_url="http://nowhere")] * 3
    desk.send(answer("a"))
    desk.after("receipt-a", lambda: order.append(f"after {sqs.sent}"))
    assert not order
    assert desk.flush()
    assert order == ["after [('q', ['a'])]"]
    assert desk.counters == {"sent": 1}


def test_who_comes_after_the_answer_or_has_none_does_not_wait(sqs: Sqs) -> None:
    desk, order = Desk(), list[str]()
    desk.send(answer("a"))
    assert desk.flush()
    desk.after("receipt-a", lambda: order.append("answered"))
    desk.after("another", lambda: order.append("nothing to say"))
    assert order == ["answered", "nothing to say"]


def test_the_first_answer_of_a_delivery_is_the_answer(sqs: Sqs) -> None:
    """Celery stores a failure for a task that was buried after it had answered."""
    desk = Desk()
    desk.send(answer("poison", receipt="r"))
    desk.send(answer("failure", receipt="r"))
    assert desk.flush()
    desk.send(answer("failure again", receipt="r"))
    assert desk.flush()
    assert sqs.sent == [("q", ["poison"])]


def test_a_refused_answer_costs_nobody_elses(sqs: Sqs, caplog: pytest.LogCaptureFixture) -> None:
    desk, gone = Desk(), list[str]()
    desk.flush()
    sqs.failed = [
        [
            {"Id": "0", "Code": "InvalidMessageContents", "SenderFault": True},
            {"Id": "1", "Code": "InternalError", "SenderFault": False},
        ]
    ]
    batches_taken = desk._batches
    with batches_taken._changed:  # so that they share a call
        for text in "abc":
            desk.send(answer(text))
            desk.after(f"receipt-{text}", lambda text=text: gone.append(text))  # type: ignore[misc]
    assert desk.flush()
    assert sqs.sent == [("q", ["a", "b", "c"]), ("q", ["b"])]
    assert gone == ["a", "c", "b"]
    assert desk.counters == {"sent": 2, "not_sent": 1}
    assert "task-a" in caplog.text


def test_a_queue_that_is_gone_fails_no_task_and_is_looked_for_again(
    sqs: Sqs, caplog: pytest.LogCaptureFixture
) -> None:
    desk, done = Desk(), list[str]()
    sqs.trouble["q"] = [no_queue()]
    desk.send(answer("a"))
    desk.after("receipt-a", lambda: done.append("a"))
    assert desk.flush()
    sqs.missing = {"q"}
    desk.send(answer("b"))
    desk.after("receipt-b", lambda: done.append("b"))
    assert desk.flush()
    sqs.missing = set()
    desk.send(answer("c"))
    assert desk.flush()
    assert done == ["a", "b"]
    assert sqs.sent == [("q", ["c"])]
    assert desk.counters == {"sent": 1, "not_sent": 2}
    assert "task-b to q not sent" in caplog.text


def test_a_throttled_queue_holds_up_no_other(sqs: Sqs, eventually: Eventually) -> None:
    throttled = ClientError(
        {"Error": {"Code": "RequestThrottled"}, "ResponseMetadata": {"HTTPStatusCode": 400}},  # type: ignore[arg-type]
        "SendMessageBatch",
    )
    desk, done = Desk(patience=0.3), list[str]()
    sqs.trouble["slow"] = [throttled] * 10_000
    desk.send(answer("a", queue="slow"))
    desk.after("receipt-a", lambda: done.append("a"))
    desk.send(answer("b", queue="fine"))
    desk.after("receipt-b", lambda: done.append("b"))
    eventually(lambda: done == ["b", "a"])  # a was given up: its task has succeeded
    assert sqs.sent == [("fine", ["b"])]


def test_what_is_remembered_is_bounded(sqs: Sqs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 5)
    desk = Desk()
    for n in range(20):
        desk.send(answer(str(n)))
    assert desk.flush()
    assert len(desk._answered) <= 5
    assert desk.counters == {"sent": 20}


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, sqs: Sqs) -> Desk:
    monkeypatch.setattr(module, "_desk", None)
    module.open_desk()
    desk = module.desk()
    assert desk is not None
    return desk


def test_a_child_gives_answers_to_its_parent(worker: Desk, sqs: Sqs) -> None:
    def task(number: int) -> int:
        assert hand_over(answer("child's"))
        return number + 1

    outcome, answers = gathering(task, 1)
    assert (outcome, [a.body for a in answers]) == (2, ["child's"])
    assert not sqs.sent


def test_a_task_that_raises_leaves_no_answer_to_the_next(worker: Desk) -> None:
    def task() -> None:
        hand_over(answer("lost"))
        raise SystemExit

    with pytest.raises(SystemExit):
        gathering(task)
    assert gathering(int)[1] == []


def test_without_a_worker_the_caller_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_desk", None)
    assert not hand_over(answer("a"))


def test_a_forked_child_has_no_desk(worker: Desk) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if module.desk() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
