"""The embedded AWS answers as AWS does where this system depends on it."""

import threading
import time

import pytest
from botocore.exceptions import ClientError

from facerec_tasks import aws
from facerec_tasks.settings import Settings
from local.emulators.resources import create_resources

DEPTH = 2000


@pytest.fixture
def queue(settings: Settings) -> str:
    sqs = aws.client(settings, "sqs")
    return sqs.create_queue(QueueName=f"{settings.id}-queue")["QueueUrl"]


def fill(settings: Settings, url: str, count: int) -> None:
    sqs = aws.client(settings, "sqs")
    for first in range(0, count, 10):
        entries = [{"Id": str(i), "MessageBody": f"m{first + i}"} for i in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)


def test_receiving_at_depth_2000_costs_what_it_costs_at_depth_10(
    settings: Settings, queue: str
) -> None:
    sqs = aws.client(settings, "sqs")
    fill(settings, queue, DEPTH)
    durations = []
    for _ in range(10):
        started = time.monotonic()
        received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
        durations.append(time.monotonic() - started)
        assert len(received) == 10
    assert min(durations) < 0.1, "moto alone takes over a second"


def test_concurrent_receivers_get_every_message_once_and_lose_none(
    settings: Settings, queue: str
) -> None:
    sqs = aws.client(settings, "sqs")
    seen: list[str] = []

    def receive() -> None:
        while received := sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
        ).get("Messages"):
            seen.extend(m["Body"] for m in received)
            for message in received:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    receivers = [threading.Thread(target=receive) for _ in range(6)]
    for thread in receivers:
        thread.start()
    fill(settings, queue, 500)
    for thread in receivers:
        thread.join()
    receive()
    assert sorted(seen) == sorted(f"m{i}" for i in range(500))


def test_long_poll_wakes_when_a_message_becomes_visible_again(
    settings: Settings, queue: str
) -> None:
    sqs = aws.client(settings, "sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="m")
    sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1)
    started = time.monotonic()
    again = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)
    assert again["Messages"][0]["Body"] == "m"
    assert 0.8 < time.monotonic() - started < 1.6


def test_size_counts_bytes_and_attributes(settings: Settings) -> None:
    create_resources(settings)
    sqs = aws.client(settings, "sqs")
    url = sqs.get_queue_url(QueueName=settings.request_queue)["QueueUrl"]
    attribute = {"a": {"DataType": "String", "StringValue": "x" * 10}}
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1024)
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1007, MessageAttributes=attribute)
    with pytest.raises(ClientError, match="shorter than 1024"):
        sqs.send_message(QueueUrl=url, MessageBody="漢" * 342)
    with pytest.raises(ClientError, match="shorter than 1024"):
        sqs.send_message(QueueUrl=url, MessageBody="x" * 1008, MessageAttributes=attribute)


def test_batch_refuses_only_the_message_that_is_too_long(settings: Settings) -> None:
    create_resources(settings)
    sqs = aws.client(settings, "sqs")
    url = sqs.get_queue_url(QueueName=settings.request_queue)["QueueUrl"]
    entries = [{"Id": "short", "MessageBody": "x"}, {"Id": "long", "MessageBody": "x" * 1025}]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [m["Id"] for m in answer["Successful"]] == ["short"]
    assert [m["Id"] for m in answer["Failed"]] == ["long"]
