"""What processes that are gone left behind."""

import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from celery_sqs._aws.client import Account, make_client
from celery_sqs._aws.queues import SEEN_TAG, ensure_queue, find_url, queue_arn
from celery_sqs._ops.cleanup import cleanup, is_abandoned
from celery_sqs._results.response_queue import ABANDONED_AFTER

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

NOW = int(time.time())
LONG_AGO = str(int(NOW - ABANDONED_AFTER - 60))


@pytest.fixture
def sqs(names: Any) -> "SQSClient":
    return make_client("sqs", Account(names.region, names.endpoint_url))


@pytest.fixture
def sns(names: Any) -> "SNSClient":
    return make_client("sns", Account(names.region, names.endpoint_url))


def make(sqs: "SQSClient", name: str, seen: str | None) -> str:
    return ensure_queue(sqs, name, tags={SEEN_TAG: seen} if seen is not None else {})


def subscribe(sqs: "SQSClient", sns: "SNSClient", topic: str, url: str) -> str:
    return sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn(sqs, url), ReturnSubscriptionArn=True
    )["SubscriptionArn"]


@pytest.mark.parametrize(
    ("tags", "abandoned"),
    [
        ({}, False),
        ({SEEN_TAG: "0"}, False),
        ({SEEN_TAG: "nonsense"}, False),
        ({SEEN_TAG: str(NOW)}, False),
        ({SEEN_TAG: LONG_AGO}, True),
    ],
)
def test_only_what_was_seen_and_is_not_seen_any_more_is_abandoned(
    tags: dict[str, str], abandoned: bool
) -> None:
    assert is_abandoned(tags, float(NOW)) is abandoned


def test_a_queue_without_permission_stops_no_cleanup(
    sqs: "SQSClient", sns: "SNSClient", names: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbours = make(sqs, f"{names.id}-a", LONG_AGO)
    make(sqs, f"{names.id}-b", LONG_AGO)
    asked = sqs.list_queue_tags

    def denied(QueueUrl: str) -> Any:
        if QueueUrl == neighbours:
            error = {"Error": {"Code": "AccessDenied", "Message": "not yours"}}
            raise ClientError(error, "ListQueueTags")  # type: ignore[arg-type]
        return asked(QueueUrl=QueueUrl)

    monkeypatch.setattr(sqs, "list_queue_tags", denied)
    assert cleanup(sqs, sns, names.id).queues == (f"{names.id}-b",)


def test_abandoned_queues_go_and_all_others_stay(
    sqs: "SQSClient", sns: "SNSClient", names: Any
) -> None:
    base = f"{names.id}-resp-queue"
    make(sqs, base, LONG_AGO)
    make(sqs, f"{base}-dead-1", LONG_AGO)
    make(sqs, f"{base}-alive-1", str(NOW))
    make(sqs, f"{base}-free-1", "0")
    make(sqs, f"{names.id}-req-queue", None)
    swept = cleanup(sqs, sns, names.id, keep={base})
    assert (swept.queues, swept.subscriptions) == ((f"{base}-dead-1",), 0)
    left = [base, f"{base}-alive-1", f"{base}-free-1", f"{names.id}-req-queue"]
    assert all(find_url(sqs, name) for name in left)


def test_subscriptions_of_queues_that_are_gone_go_with_them(
    sqs: "SQSClient", sns: "SNSClient", names: Any
) -> None:
    topic = sns.create_topic(Name=names.id)["TopicArn"]
    abandoned = make(sqs, f"{names.id}-w1-pidbox", LONG_AGO)
    deleted = make(sqs, f"{names.id}-w2-pidbox", str(NOW))
    alive = make(sqs, f"{names.id}-w3-pidbox", str(NOW))
    other = make(sqs, f"other-{names.id}", str(NOW))
    for url in (abandoned, deleted, other):
        subscribe(sqs, sns, topic, url)
    kept = subscribe(sqs, sns, topic, alive)
    sqs.delete_queue(QueueUrl=deleted)
    sqs.delete_queue(QueueUrl=other)  # not ours to cleanup
    assert cleanup(sqs, sns, names.id).subscriptions == 2
    left = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert kept in [found["SubscriptionArn"] for found in left]
    assert len(left) == 2
    assert cleanup(sqs, sns, names.id).subscriptions == 0
