"""Queues kept in order, on an emulated SQS."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from celery_sqs._aws.client import Account, make_client
from celery_sqs._aws.queues import (
    Counts,
    NoSuchQueue,
    counts,
    ensure_queue,
    ensure_request_queue,
    queue_arn,
    queue_url,
    queue_urls,
    read_tags,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture
def sqs(names: Any) -> "SQSClient":
    return make_client("sqs", Account(names.region, names.endpoint_url))


def attributes(sqs: "SQSClient", url: str) -> dict[str, str]:
    return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


def test_a_queue_is_created_with_attributes_and_tags(sqs: "SQSClient", names: Any) -> None:
    url = ensure_queue(
        sqs, names.id, attributes={"VisibilityTimeout": "7"}, tags={"purpose": "test"}
    )
    assert attributes(sqs, url)["VisibilityTimeout"] == "7"
    assert read_tags(sqs, url) == {"purpose": "test"}


def test_a_queue_that_differs_is_corrected_and_keeps_its_messages(
    sqs: "SQSClient", names: Any
) -> None:
    url = ensure_queue(sqs, names.id, attributes={"VisibilityTimeout": "7"})
    sqs.send_message(QueueUrl=url, MessageBody="kept")
    again = ensure_queue(sqs, names.id, attributes={"VisibilityTimeout": "9"})
    assert again == url
    assert attributes(sqs, url)["VisibilityTimeout"] == "9"
    assert counts(sqs, names.id) == Counts(visible=1, in_flight=0, delayed=0)


def test_a_request_queue_refuses_long_messages_and_has_a_dead_letter_queue(
    sqs: "SQSClient", names: Any
) -> None:
    def ensure() -> str:
        return ensure_request_queue(
            sqs, names.id, f"{names.id}-dlq", max_message_bytes=1024, visibility_timeout=30
        )

    url = ensure()
    assert ensure() == url  # at every start of every process
    found = attributes(sqs, url)
    assert found["MessageRetentionPeriod"] == str(14 * 24 * 3600)
    redrive = json.loads(found["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == queue_arn(sqs, queue_url(sqs, f"{names.id}-dlq"))
    assert int(redrive["maxReceiveCount"]) == 100
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1024)
    with pytest.raises(ClientError, match=r"(?i)1024"):
        sqs.send_message(QueueUrl=url, MessageBody="x" * 1025)


def test_counts_tell_what_waits_and_what_is_worked_on(sqs: "SQSClient", names: Any) -> None:
    url = ensure_queue(sqs, names.id)
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="m")
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=60)
    sqs.receive_message(QueueUrl=url)
    assert counts(sqs, names.id) == Counts(visible=2, in_flight=1, delayed=1)
    assert counts(sqs, names.id).total == 4


def test_a_missing_queue_is_an_error_and_not_zero(sqs: "SQSClient", names: Any) -> None:
    with pytest.raises(NoSuchQueue):
        counts(sqs, names.id)


def test_queues_are_found_by_prefix(sqs: "SQSClient", names: Any) -> None:
    for name in (f"{names.id}-a", f"{names.id}-b", f"x{names.id}"):
        ensure_queue(sqs, name)
    found = {url.rsplit("/", 1)[1] for url in queue_urls(sqs, names.id)}
    assert found == {f"{names.id}-a", f"{names.id}-b"}
