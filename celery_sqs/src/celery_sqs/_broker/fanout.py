"""Fanout over SNS: events and remote control commands to every subscriber.

An exchange is a topic, a bound queue a subscription with raw delivery. Compared with kombu's own
``SNS.py``: no scan of all subscribers at every bind, the queue's policy is there from its creation
(set later it takes AWS up to a minute), events without a subscriber are not sent, and tasks go on
where SNS may not be used.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from celery.utils.log import get_logger

from celery_sqs._aws.batching import split
from celery_sqs._aws.client import CallFailed, error_code, is_forbidden
from celery_sqs.errors import FanoutForbidden

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

logger = get_logger(__name__)

SUBSCRIBER_CACHE_SECONDS = 600.0
"""Until SNS is asked again whether an exchange has subscribers, or whether it may be used."""


class Fanout:
    """The topics of one session. Thread-safe."""

    def __init__(self, client: Callable[[], "SNSClient"], topic_name: Callable[[str], str]) -> None:
        """``topic_name`` turns the name of an exchange into that of its topic."""
        self._client = client
        self._topic_name = topic_name
        self._topics: dict[str, str] = {}
        self._subscribers: dict[str, tuple[bool, float]] = {}
        self._forbidden_until = 0.0
        self._lock = threading.Lock()
        self.on_command: Callable[[], None] | None = None
        """Called from any thread when a command has come."""

    def topic(self, exchange: str) -> str | None:
        """ARN of the exchange's topic, which is made if there is none.

        None without permission for SNS: events and remote control are optional, tasks need none.
        """
        with self._lock:
            if time.monotonic() < self._forbidden_until:
                return None
            if exchange not in self._topics:
                try:
                    made = self._client().create_topic(Name=self._topic_name(exchange))
                except ClientError as error:
                    if not is_forbidden(error):
                        raise
                    self._forbidden_until = time.monotonic() + SUBSCRIBER_CACHE_SECONDS
                    logger.error("no events and no remote control: SNS may not be used: %s", error)
                    return None
                self._topics[exchange] = made["TopicArn"]
            return self._topics[exchange]

    def publish(self, exchange: str, text: str) -> None:
        """Sends one message; a topic that was deleted meanwhile is made again.

        Raises :class:`.errors.FanoutForbidden` without permission for SNS.
        """
        try:
            self._client().publish(TopicArn=self._needed_topic(exchange), Message=text)
        except CallFailed as error:
            if error_code(error) not in ("NotFound", "NotFoundException"):
                raise
            self._topics.pop(exchange, None)
            self._client().publish(TopicArn=self._needed_topic(exchange), Message=text)

    def publish_all(self, exchange: str, texts: Sequence[str]) -> None:
        """Sends messages in order, up to ten in a call; drops them without a subscriber."""
        topic = self.topic(exchange)
        if topic is None or not self.has_subscribers(exchange):
            return
        for batch in split(texts, lambda text: len(text.encode())):
            answer = self._client().publish_batch(
                TopicArn=topic,
                PublishBatchRequestEntries=[
                    {"Id": str(n), "Message": text} for n, text in enumerate(batch)
                ],
            )
            if answer.get("Failed"):
                logger.warning("%d messages to %s failed", len(answer["Failed"]), exchange)

    def has_subscribers(self, exchange: str) -> bool:
        """Whether an exchange has any; true in doubt. Asked of SNS every ten minutes at most."""
        known, until = self._subscribers.get(exchange, (True, 0.0))
        if time.monotonic() < until:
            return known
        topic = self.topic(exchange)
        if topic is None:
            return False
        try:
            found = self._client().list_subscriptions_by_topic(TopicArn=topic)
            known = bool(found["Subscriptions"])
        except CallFailed as error:
            logger.warning("cannot see the subscribers of %s: %r", exchange, error)
            self._topics.pop(exchange, None)
            return True
        self._subscribers[exchange] = (known, time.monotonic() + SUBSCRIBER_CACHE_SECONDS)
        return known

    def invalidate_subscribers(self) -> None:
        """A command came: its sender may have subscribed just now."""
        until = time.monotonic() + SUBSCRIBER_CACHE_SECONDS
        self._subscribers = {exchange: (True, until) for exchange in self._topics}
        if self.on_command is not None:
            self.on_command()

    def subscribe(self, exchange: str, queue_arn: str) -> str | None:
        """Binds a queue and returns the subscription's ARN, the same one at every call.

        None without permission for SNS.
        """
        topic = self.topic(exchange)
        if topic is None:
            return None
        try:
            answer = self._client().subscribe(
                TopicArn=topic,
                Protocol="sqs",
                Endpoint=queue_arn,
                Attributes={"RawMessageDelivery": "true"},
                ReturnSubscriptionArn=True,
            )
        except ClientError as error:
            if not is_forbidden(error):
                raise
            logger.error("%s is not subscribed, SNS may not be used: %s", queue_arn, error)
            return None
        return answer["SubscriptionArn"]

    def unsubscribe(self, subscription: str) -> None:
        self._client().unsubscribe(SubscriptionArn=subscription)

    def _needed_topic(self, exchange: str) -> str:
        topic = self.topic(exchange)
        if topic is None:
            raise FanoutForbidden(f"no permission to publish to {exchange} over SNS")
        return topic


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
