"""Fanout over SNS: events and remote control commands to everybody who listens.

An exchange is a topic, a bound queue a subscription with raw delivery. Compared with kombu's own
``SNS.py``: no scan of all subscribers at every bind, the queue's policy is there from its creation
(set later it takes AWS up to a minute), and events nobody listens to are not sent.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from celery.utils.log import get_logger

from celery_sqs._aws.client import CallFailed, error_code

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

logger = get_logger(__name__)

BATCH = 10
BATCH_BYTES = 256 * 1024
"""Entries and bytes of one PublishBatch.

https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
"""
SUBSCRIBER_CACHE_SECONDS = 600.0
"""Seconds until we ask SNS again whether an exchange has listeners."""


class Fanout:
    """The topics of one connection. Thread-safe."""

    def __init__(self, client: Callable[[], "SNSClient"], topic_name: Callable[[str], str]) -> None:
        """``topic_name`` turns the name of an exchange into that of its topic."""
        self._client = client
        self._topic_name = topic_name
        self._topics: dict[str, str] = {}
        self._heard: dict[str, tuple[bool, float]] = {}
        self._lock = threading.Lock()
        self.on_command: Callable[[], None] | None = None
        """Called from any thread when a command has come."""

    def topic(self, exchange: str) -> str:
        """ARN of the exchange's topic, which is made if there is none."""
        with self._lock:
            if exchange not in self._topics:
                made = self._client().create_topic(Name=self._topic_name(exchange))
                self._topics[exchange] = made["TopicArn"]
            return self._topics[exchange]

    def publish(self, exchange: str, text: str) -> None:
        """Sends one message; a topic that was deleted meanwhile is made again."""
        try:
            self._client().publish(TopicArn=self.topic(exchange), Message=text)
        except CallFailed as error:
            if error_code(error) not in ("NotFound", "NotFoundException"):
                raise
            self._topics.pop(exchange, None)
            self._client().publish(TopicArn=self.topic(exchange), Message=text)

    def publish_all(self, exchange: str, texts: Sequence[str]) -> None:
        """Sends messages in order, up to ten in a call; drops them when nobody listens."""
        if not self.has_subscribers(exchange):
            return
        for batch in _batches(texts):
            answer = self._client().publish_batch(
                TopicArn=self.topic(exchange),
                PublishBatchRequestEntries=[
                    {"Id": str(n), "Message": text} for n, text in enumerate(batch)
                ],
            )
            if answer.get("Failed"):
                logger.warning("%d messages to %s failed", len(answer["Failed"]), exchange)

    def has_subscribers(self, exchange: str) -> bool:
        """Whether anybody listens; in doubt yes. Asked of SNS every ten minutes at most."""
        listening, until = self._heard.get(exchange, (True, 0.0))
        if time.monotonic() < until:
            return listening
        try:
            found = self._client().list_subscriptions_by_topic(TopicArn=self.topic(exchange))
            listening = bool(found["Subscriptions"])
        except CallFailed as error:
            logger.warning("cannot see who listens to %s: %r", exchange, error)
            self._topics.pop(exchange, None)
            return True
        self._heard[exchange] = (listening, time.monotonic() + SUBSCRIBER_CACHE_SECONDS)
        return listening

    def invalidate_subscribers(self) -> None:
        """A command came: whoever sent it may have begun to listen just now."""
        until = time.monotonic() + SUBSCRIBER_CACHE_SECONDS
        self._heard = {exchange: (True, until) for exchange in self._topics}
        if self.on_command is not None:
            self.on_command()

    def subscribe(self, exchange: str, queue_arn: str) -> str:
        """Binds a queue and returns the subscription's ARN, the same one at every call."""
        answer = self._client().subscribe(
            TopicArn=self.topic(exchange),
            Protocol="sqs",
            Endpoint=queue_arn,
            Attributes={"RawMessageDelivery": "true"},
            ReturnSubscriptionArn=True,
        )
        return answer["SubscriptionArn"]

    def unsubscribe(self, subscription: str) -> None:
        self._client().unsubscribe(SubscriptionArn=subscription)


def queue_arn(topic_arn: str, queue_name: str) -> str:
    """ARN of a queue in the account, region and partition of a topic."""
    _, partition, _, region, account, _ = topic_arn.split(":", 5)
    return f"arn:{partition}:sqs:{region}:{account}:{queue_name}"


def queue_policy(topic_arn: str, queue_name: str) -> str:
    """Policy that lets the topics of this account, and nobody else's, send to the queue."""
    _, partition, _, region, account, _ = topic_arn.split(":", 5)
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sns.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": queue_arn(topic_arn, queue_name),
                    "Condition": {
                        "ArnLike": {"aws:SourceArn": f"arn:{partition}:sns:{region}:{account}:*"}
                    },
                }
            ],
        }
    )


def _batches(texts: Sequence[str]) -> list[list[str]]:
    batches: list[list[str]] = []
    room = 0
    for text in texts:
        size = len(text.encode())
        if not batches or len(batches[-1]) == BATCH or size > room:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append(text)
        room -= size
    return batches
