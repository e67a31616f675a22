"""What a message may hold: bodies of every kind, of any size, for any time."""

import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from celery_sqs._aws import queues
from celery_sqs.errors import EtaTooLate, MessageTooLarge, UnsupportedBySQS

UNLIMITED = json.dumps({"max_message_size": None})


@pytest.fixture
def roomy(sample: Any) -> Any:
    """The sample's queue takes what SQS takes, and the application knows no limit of its own."""
    url = queues.queue_url(sample.sqs, sample.queue)
    sample.sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "262144"})
    sample.app.conf.broker_transport_options = {
        **sample.app.conf.broker_transport_options, "max_message_size": None,
    }  # fmt: skip
    sample.app.conf.accept_content = ["json", "pickle", "msgpack", "yaml"]
    return sample


@pytest.mark.parametrize(
    "options",
    [
        {"serializer": "pickle"}, {"serializer": "yaml"}, {"compression": "zlib"},
        {"compression": "gzip", "serializer": "pickle"}, {"compression": "bzip2"},
    ],
)  # fmt: skip
def test_bodies_of_every_kind_arrive(roomy: Any, options: dict[str, str]) -> None:
    settings = {"accept_content": ["json", "pickle", "yaml"]}
    roomy.start(SAMPLE_OPTIONS=UNLIMITED, SAMPLE_SETTINGS=json.dumps(settings), C_FORCE_ROOT="1")
    roomy.send("work", "é" * 10, **options)
    roomy.eventually(lambda: roomy.notes("end", "é" * 10))
    roomy.eventually(roomy.empty)


def test_the_queues_own_limit_is_found_before_sending(roomy: Any) -> None:
    url = queues.queue_url(roomy.sqs, roomy.queue)
    roomy.sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "2048"})
    roomy.send("work", "x" * 1000)
    with pytest.raises(MessageTooLarge) as caught:
        roomy.send("work", "x" * 2000)
    assert caught.value.limit == 2048
    assert roomy.counts().total == 1


def test_large_bodies_go_through_s3(roomy: Any, names: Any) -> None:
    s3 = boto3.client("s3", endpoint_url=names.endpoint_url, region_name=names.region)
    s3.create_bucket(Bucket=names.id)
    roomy.app.conf.broker_transport_options |= {"large_message_bucket": names.id}
    label = "x" * 300_000
    roomy.send("work", label)
    assert s3.list_objects_v2(Bucket=names.id)["KeyCount"] == 1
    roomy.start(SAMPLE_OPTIONS=json.dumps({"large_message_bucket": names.id}))
    roomy.eventually(lambda: roomy.notes("end", label), within=20)
    roomy.eventually(lambda: s3.list_objects_v2(Bucket=names.id)["KeyCount"] == 0)
    roomy.eventually(roomy.empty)


def test_a_claim_to_another_bucket_is_not_followed(roomy: Any, names: Any) -> None:
    url = queues.queue_url(roomy.sqs, roomy.queue)
    body = json.dumps({"celery-sqs-s3": ["not-ours", f"{names.id}/key"]}, separators=(",", ":"))
    roomy.sqs.send_message(QueueUrl=url, MessageBody=body)
    options = {"large_message_bucket": names.id, "unreadable_receives": 1}
    roomy.start(SAMPLE_OPTIONS=json.dumps(options))
    roomy.eventually(lambda: roomy.counts(roomy.graveyard).visible == 1, within=20)


def test_an_eta_is_held_by_sqs_and_survives_every_worker(sample: Any) -> None:
    due = time.time() + 16
    sample.send("work", "later", eta=datetime.fromtimestamp(due, UTC))
    assert sample.counts().delayed == 1
    sample.start().child.kill()
    sample.start()
    sample.eventually(lambda: sample.notes("end", "later"), within=40)
    ended = float(sample.notes("end", "later")[0][3])
    assert due - 0.5 <= ended <= due + 5
    assert len(sample.notes("begin", "later")) == 1


def test_a_message_that_is_early_is_hidden_and_not_held(sample: Any) -> None:
    """As one that ``DelaySeconds`` brings after its longest time."""
    later = datetime.now(UTC) + timedelta(seconds=20)
    url = queues.queue_url(sample.sqs, sample.queue)
    sample.send("work", "later", eta=later)
    sample.eventually(lambda: sample.counts().delayed == 1)
    sample.sqs.purge_queue(QueueUrl=url)
    early = {"celery-sqs": 1, "t": "sample.work", "i": "1", "a": ["early"],
             "h": {"eta": later.isoformat()}}  # fmt: skip
    sample.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(early))
    worker = sample.start()
    sample.eventually(lambda: sample.counts().in_flight == 1)
    worker.child.end(10)  # nobody holds it
    assert sample.counts().in_flight == 1
    sample.start()
    sample.eventually(lambda: sample.notes("end", "early"), within=40)
    assert len(sample.notes("begin", "early")) == 1


def test_an_eta_after_the_queues_retention_is_refused(sample: Any) -> None:
    with pytest.raises(EtaTooLate, match="keeps messages for"):
        sample.send("work", "never", countdown=20 * 86400)
    sample.send("work", "in 13 hours", countdown=13 * 3600)
    assert sample.counts().delayed == 1


def test_what_sqs_cannot_do_is_refused_before_sending(sample: Any) -> None:
    with pytest.raises(UnsupportedBySQS, match="priority"):
        sample.send("work", "first", priority=5)
    with pytest.raises(UnsupportedBySQS, match="expiration"):
        sample.send("work", "brief", expiration=5)
    sample.send("work", "in time", expires=60)
    assert sample.counts().total == 1


def test_another_clients_priority_is_not_asked_for_again(sample: Any) -> None:
    body = {
        "body": json.dumps([["label"], {}, {}]),
        "content-type": "application/json", "content-encoding": "utf-8",
        "headers": {"task": "sample.work", "id": "foreign-1"},
        "properties": {"priority": 5, "body_encoding": "utf-8", "delivery_tag": "1",
                       "delivery_info": {"exchange": "", "routing_key": sample.queue}},
    }  # fmt: skip
    url = queues.queue_url(sample.sqs, sample.queue)
    sample.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    with sample.app.connection() as connection, closing(connection.SimpleQueue(sample.queue)) as q:
        assert q.get(timeout=5).properties["priority"] == 0
