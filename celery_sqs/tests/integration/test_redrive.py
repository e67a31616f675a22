"""Dead letters on their way back."""

import time
from typing import TYPE_CHECKING, Any

import pytest
from celery_sqs._aws.client import Account, make_client
from celery_sqs._aws.queues import (
    PurgeInProgress,
    counts,
    ensure_queue,
    ensure_request_queue,
    purge,
    queue_url,
)
from celery_sqs._ops.redrive import Redriven, redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture
def sqs(names: Any) -> "SQSClient":
    return make_client("sqs", Account(names.region, names.endpoint_url))


@pytest.fixture
def dead(sqs: "SQSClient", names: Any) -> tuple[str, str]:
    """URLs of a dead-letter queue and of its queue, which takes at most 1024 bytes."""
    url = ensure_request_queue(
        sqs, names.id, f"{names.id}-dlq", max_message_bytes=1024, visibility_timeout=30
    )
    return queue_url(sqs, f"{names.id}-dlq"), url


def dead_letter(sqs: "SQSClient", url: str, *bodies: str) -> None:
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)
        time.sleep(0.002)  # SQS tells milliseconds


def received(sqs: "SQSClient", url: str) -> list[str]:
    bodies: list[str] = []
    while found := sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0).get("Messages"):
        bodies += [message["Body"] for message in found]
    return bodies


def test_the_oldest_go_first_and_none_stays(
    sqs: "SQSClient", dead: tuple[str, str], names: Any
) -> None:
    graves, url = dead
    bodies = [f"letter {i:02}" for i in range(25)]
    dead_letter(sqs, graves, *bodies)
    prepared: list[str] = []
    assert redrive(sqs, graves, url, prepare=prepared.append) == Redriven(moved=25, refused=0)
    assert prepared == bodies
    assert received(sqs, url) == bodies  # an emulator's queue keeps order
    assert counts(sqs, f"{names.id}-dlq").total == 0


def test_a_limit_takes_the_first_and_leaves_the_rest(
    sqs: "SQSClient", dead: tuple[str, str], names: Any
) -> None:
    graves, url = dead
    dead_letter(sqs, graves, "a", "b", "c")
    assert redrive(sqs, graves, url, limit=2).moved == 2
    assert received(sqs, url) == ["a", "b"]
    assert counts(sqs, f"{names.id}-dlq").visible == 1


def test_what_the_queue_refuses_stays_a_dead_letter(
    sqs: "SQSClient", dead: tuple[str, str], names: Any
) -> None:
    graves, url = dead
    dead_letter(sqs, graves, "a", "x" * 1025, "b")
    assert redrive(sqs, graves, url) == Redriven(moved=2, refused=1)
    assert received(sqs, url) == ["a", "b"]
    assert counts(sqs, f"{names.id}-dlq").visible == 1


def test_redrive_of_an_empty_dead_letter_queue_moves_nothing(
    sqs: "SQSClient", dead: tuple[str, str]
) -> None:
    assert redrive(sqs, *dead) == Redriven(moved=0, refused=0)


def test_a_purge_leaves_nothing_and_the_next_one_has_to_wait(
    sqs: "SQSClient", names: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = ensure_queue(sqs, names.id)
    dead_letter(sqs, url, "a", "b")
    purge(sqs, url)
    assert counts(sqs, names.id).total == 0

    def refuse(QueueUrl: str) -> None:  # emulators do not
        from botocore.exceptions import ClientError

        code = "AWS.SimpleQueueService.PurgeQueueInProgress"
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "PurgeQueue")

    monkeypatch.setattr(sqs, "purge_queue", refuse)
    with pytest.raises(PurgeInProgress):
        purge(sqs, url)
