"""Topics: names, policies, batches, and silence when nobody listens."""

import json
from typing import Any

import pytest
from celery_sqs._aws.queues import MAX_BATCH_BYTES
from celery_sqs._broker.fanout import Fanout, queue_arn, queue_policy

TOPIC = "arn:aws-cn:sns:cn-north-1:123456789012:ns-celeryev"


class Sns:
    def __init__(self) -> None:
        self.subscriptions: list[str] = []
        self.published: list[list[str]] = []
        self.asked = 0

    def create_topic(self, Name: str) -> Any:
        return {"TopicArn": TOPIC}

    def list_subscriptions_by_topic(self, TopicArn: str) -> Any:
        self.asked += 1
        return {"Subscriptions": self.subscriptions}

    def publish_batch(self, TopicArn: str, PublishBatchRequestEntries: Any) -> Any:
        self.published.append([e["Message"] for e in PublishBatchRequestEntries])
        return {}


@pytest.fixture
def sns() -> Sns:
    return Sns()


@pytest.fixture
def fanout(sns: Sns) -> Fanout:
    return Fanout(lambda: sns, lambda exchange: exchange)  # type: ignore[arg-type, return-value]


def test_without_subscribers_no_event_is_sent(sns: Sns, fanout: Fanout) -> None:
    for _ in range(3):
        fanout.publish_all("celeryev", ["a"])
    assert sns.published == []
    assert sns.asked == 1


def test_a_command_invalidates_the_subscriber_cache(sns: Sns, fanout: Fanout) -> None:
    fanout.publish_all("celeryev", ["a"])
    fanout.invalidate_subscribers()
    fanout.publish_all("celeryev", ["b", "c"])
    assert sns.published == [["b", "c"]]


def test_batches_fit_a_call(sns: Sns, fanout: Fanout) -> None:
    sns.subscriptions = ["somebody"]
    big = "x" * (MAX_BATCH_BYTES // 2)
    fanout.publish_all("celeryev", [*"abcdefghijkl", big, big, big])
    assert [len(batch) for batch in sns.published] == [10, 3, 2]
    assert all(sum(map(len, batch)) <= MAX_BATCH_BYTES for batch in sns.published)


def test_only_topics_of_this_account_may_send() -> None:
    policy = json.loads(queue_policy(TOPIC, "q"))["Statement"][0]
    assert policy["Resource"] == queue_arn(TOPIC, "q") == "arn:aws-cn:sqs:cn-north-1:123456789012:q"
    assert policy["Principal"] == {"Service": "sns.amazonaws.com"}
    allowed = policy["Condition"]["ArnLike"]["aws:SourceArn"]
    assert allowed == "arn:aws-cn:sns:cn-north-1:123456789012:*"
