"""Sends that batch themselves."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from celery_sqs._aws import sender as module
from celery_sqs._aws.queues import MAX_BATCH_BYTES
from celery_sqs._aws.sender import Sender
from celery_sqs.errors import SendFailed

URL = "http://sqs/queue"
Eventually = Callable[..., None]


class Sqs:
    """Answers batches like SQS; ``hold`` keeps calls in flight; ``refuse`` decides per body."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.hold = threading.Event()
        self.hold.set()
        self.refuse: Callable[[str], dict[str, Any] | None] = lambda body: None
        self.error: Callable[[list[str]], Exception | None] = lambda bodies: None

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        bodies = [entry["MessageBody"] for entry in Entries]
        self.batches.append(bodies)
        assert self.hold.wait(10)
        error = self.error(bodies)
        if error is not None:
            raise error
        answer: dict[str, list[Any]] = {"Successful": [], "Failed": []}
        for entry in Entries:
            refusal = self.refuse(entry["MessageBody"])
            if refusal == {}:
                continue
            if refusal:
                answer["Failed"].append({"Id": entry["Id"], **refusal})
            else:
                answer["Successful"].append({"Id": entry["Id"], "MessageId": entry["MessageBody"]})
        return answer


class Crowd:
    """Threads that each send one message and keep what came of it."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.outcomes: dict[str, object] = {}
        self.threads: list[threading.Thread] = []

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.threads.append(threading.Thread(target=self._send, args=(body,)))
            self.threads[-1].start()

    def _send(self, body: str) -> None:
        try:
            self.outcomes[body] = self.sender.send(URL, body)
        except (SendFailed, ClientError, EndpointConnectionError, TimeoutError) as error:
            self.outcomes[body] = error
        except SystemExit:
            self.outcomes[body] = "interrupted"

    def join(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_PAUSE", 0.0)


@pytest.fixture
def sqs() -> Sqs:
    return Sqs()


@pytest.fixture
def sender(sqs: Sqs) -> Sender:
    return Sender(lambda url: sqs)  # type: ignore[arg-type, return-value]


@pytest.fixture
def crowd(sender: Sender) -> Crowd:
    return Crowd(sender)


def refused(sender_fault: bool) -> dict[str, Any]:
    return {"Code": "InvalidParameterValue", "Message": "no", "SenderFault": sender_fault}


def gather(sqs: Sqs, crowd: Crowd, eventually: Eventually, *bodies: str) -> None:
    """Sends ``first`` alone and, while it is in flight, the others; then lets them go."""
    sqs.hold.clear()
    crowd.send("first")
    eventually(lambda: sqs.batches)
    crowd.send(*bodies)
    eventually(lambda: crowd.sender.waiting == len(bodies))
    sqs.hold.set()
    crowd.join()


def test_one_message_alone_goes_at_once(sqs: Sqs, sender: Sender) -> None:
    assert sender.send(URL, "a", DelaySeconds=3) == "a"
    assert sqs.batches == [["a"]]


def test_what_gathers_while_a_call_is_in_flight_goes_with_the_next(
    sqs: Sqs, crowd: Crowd, eventually: Eventually
) -> None:
    bodies = [f"m{i}" for i in range(25)]
    gather(sqs, crowd, eventually, *bodies)
    assert [len(batch) for batch in sqs.batches] == [1, 10, 10, 5]
    assert crowd.outcomes == {body: body for body in ["first", *bodies]}
    assert crowd.sender.waiting == 0


def test_a_call_never_exceeds_the_limit_of_bytes(
    sqs: Sqs, crowd: Crowd, eventually: Eventually
) -> None:
    bodies = [letter * (MAX_BATCH_BYTES // 2 - 10) for letter in "abcde"]
    gather(sqs, crowd, eventually, *bodies)
    assert [len(batch) for batch in sqs.batches] == [1, 2, 2, 1]
    assert all(outcome == body for body, outcome in crowd.outcomes.items())


def test_one_message_over_the_limit_is_left_for_sqs_to_refuse(sqs: Sqs, sender: Sender) -> None:
    assert sender.send(URL, "x" * (MAX_BATCH_BYTES + 1))


def test_a_failed_entry_raises_for_itself_alone(
    sqs: Sqs, crowd: Crowd, eventually: Eventually
) -> None:
    sqs.refuse = lambda body: refused(sender_fault=True) if body == "bad" else None
    gather(sqs, crowd, eventually, "good", "bad", "better")
    error = crowd.outcomes.pop("bad")
    assert isinstance(error, SendFailed)
    assert (error.code, error.sender_fault) == ("InvalidParameterValue", True)
    assert crowd.outcomes == {"first": "first", "good": "good", "better": "better"}


def test_a_fault_of_aws_is_tried_again(sqs: Sqs, sender: Sender) -> None:
    faults = [refused(sender_fault=False)] * 2
    sqs.refuse = lambda body: faults.pop() if faults else None
    assert sender.send(URL, "a") == "a"
    assert len(sqs.batches) == 3


def test_a_lasting_fault_of_aws_is_raised(sqs: Sqs, sender: Sender) -> None:
    sqs.refuse = lambda body: refused(sender_fault=False)
    with pytest.raises(SendFailed):
        sender.send(URL, "a")
    assert len(sqs.batches) == 3


def test_a_message_missing_from_the_answer_is_not_sent(sqs: Sqs, sender: Sender) -> None:
    sqs.refuse = lambda body: {}
    with pytest.raises(SendFailed, match="NoVerdict"):
        sender.send(URL, "a")


def test_a_batch_refused_for_one_message_is_sent_one_by_one(
    sqs: Sqs, crowd: Crowd, eventually: Eventually
) -> None:
    response = {"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    too_long = ClientError(response, "SendMessageBatch")  # type: ignore[arg-type]
    sqs.error = lambda bodies: too_long if "bad" in bodies else None
    gather(sqs, crowd, eventually, "good", "bad", "better")
    assert crowd.outcomes.pop("bad") is too_long
    assert crowd.outcomes == {"first": "first", "good": "good", "better": "better"}


def test_a_call_without_an_answer_fails_everybody_in_it_and_nobody_after(
    sqs: Sqs, crowd: Crowd, eventually: Eventually
) -> None:
    down = EndpointConnectionError(endpoint_url=URL)
    sqs.error = lambda bodies: down if "first" in bodies else None
    gather(sqs, crowd, eventually, "next")
    assert crowd.outcomes == {"first": down, "next": "next"}


def test_an_interrupted_send_leaves_no_other_waiting(
    sqs: Sqs, crowd: Crowd, eventually: Eventually
) -> None:
    def interrupt(bodies: list[str]) -> None:
        if "first" in bodies:
            raise SystemExit

    sqs.error = interrupt
    gather(sqs, crowd, eventually, "next")
    assert crowd.outcomes == {"first": "interrupted", "next": "next"}
    crowd.send("later")
    crowd.join()
    assert crowd.outcomes["later"] == "later"


def test_a_wait_for_the_turn_ends(
    sqs: Sqs, crowd: Crowd, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.1)
    sqs.hold.clear()
    crowd.send("first")
    eventually(lambda: sqs.batches)
    crowd.send("second")
    eventually(lambda: "second" in crowd.outcomes)
    assert isinstance(crowd.outcomes["second"], TimeoutError)
    sqs.hold.set()
    crowd.join()
    assert sqs.batches == [["first"]]


def test_a_forked_child_starts_with_an_empty_queue(
    sqs: Sqs, crowd: Crowd, eventually: Eventually
) -> None:
    sqs.hold.clear()
    crowd.send("first")  # in flight at the fork
    eventually(lambda: sqs.batches)
    child = os.fork()
    if child == 0:
        sqs.hold.set()
        os._exit(0 if crowd.sender.send(URL, "childs") == "childs" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sqs.hold.set()
    crowd.join()
