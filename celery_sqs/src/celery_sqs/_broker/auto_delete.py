"""Queues that belong to a process: control, events, replies.

AMQP deletes an ``auto_delete`` queue with its consumer. SQS has no such thing, and refuses a
deleted name for 60 s, so a worker that restarts at once must find its control queue again. Here
reply and event queues are deleted when their process ends, a worker's control queue stays, and each
is tagged with the time its owner was last seen, so that a cleanup finds the abandoned ones.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from celery.utils.log import get_logger

from celery_sqs._aws.client import CallFailed
from celery_sqs._aws.queues import ABANDONED_AFTER, SEEN_TAG, ensure_queue, readable_tags
from celery_sqs._broker.fanout import Fanout, queue_arn, queue_policy
from celery_sqs.errors import InvalidOptions

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = get_logger(__name__)

TAG = "celery-sqs-temporary"
"""Tag key of every such queue; its value is ``1``."""
SEEN_EVERY = 3600.0
"""Seconds between two such signs of life."""
RETENTION = 60
"""Seconds a message is kept: the least AWS allows, so that no worker obeys an old command."""
APP_TAG = "celery-app"
"""Which application's worker uses a control queue."""
VISIBILITY = 10
"""Seconds in which what was received must be deleted, or a command is obeyed twice; and seconds
that a command is late which SQS put into the open poll of a worker that was killed."""


def is_reply(queue: str) -> bool:
    """Whether this is a client's queue for replies (``<id>.reply.<namespace>.pidbox``)."""
    return ".reply." in queue and queue.endswith(".pidbox")


def is_control(queue: str) -> bool:
    """Whether this is a worker's queue for commands (``<node>.<namespace>.pidbox``)."""
    return queue.endswith(".pidbox") and not is_reply(queue)


def is_event(queue: str) -> bool:
    """Whether this is an event receiver's queue (``celeryev.<id>``)."""
    return "celeryev." in queue


@dataclass
class _AutoDeleteQueue:
    name: str
    """The SQS name."""
    attributes: dict[str, str]
    url: str | None = None
    """None when it must be made (again)."""
    seen: float = 0.0
    """Monotonic seconds of the last sign of life."""
    born: float = 0.0
    """Unix seconds of AWS's clock when this process took the queue."""
    exchange: str | None = None
    """What it is bound to."""
    subscription: str | None = None


class AutoDeleteQueues:
    """Those of one connection, or the process's for replies, by kombu's name."""

    def __init__(
        self,
        client: Callable[[], "SQSClient"],
        fanout: Fanout,
        visibility_timeout: int,
        app: str = "",
    ) -> None:
        """``visibility_timeout`` is for queues of tasks, such as those of broadcasts.

        ``app`` is the name of the worker's application, if it has one.
        """
        self._client = client
        self._fanout = fanout
        self._visibility_timeout = visibility_timeout
        self._app = re.sub(r"[^\w.:/=+@-]", "-", app)
        self._queues: dict[str, _AutoDeleteQueue] = {}

    def __contains__(self, queue: str) -> bool:
        return queue in self._queues

    def declare(self, queue: str, name: str, exchange: str | None) -> str:
        """URL of the queue, made unless it is there; ``exchange`` is what may be bound to it."""
        known = self._queues.get(queue)
        if known is None:
            known = _AutoDeleteQueue(name, self._attributes(queue, name, exchange))
        if known.url is None:
            known.url = self._take(known, self._app if is_control(queue) else "")
            self._queues[queue] = known
            if known.exchange is not None:
                self.subscribe(queue, known.exchange)
        return known.url

    def subscribe(self, queue: str, exchange: str) -> None:
        """Binds a declared queue to an exchange."""
        known = self._queues[queue]
        known.exchange = exchange
        topic = self._fanout.topic(exchange)
        if topic is not None:
            known.subscription = self._fanout.subscribe(exchange, queue_arn(topic, known.name))

    def keep_alive(self, queue: str) -> None:
        """Renews the sign of life when it is due. Call it with every poll."""
        known = self._queues.get(queue)
        if known is None or known.url is None or time.monotonic() - known.seen < SEEN_EVERY:
            return
        known.seen = time.monotonic()
        self._client().tag_queue(QueueUrl=known.url, Tags=_tags())

    def is_stale(self, queue: str, sent: float) -> bool:
        """Whether a message was sent (unix seconds of AWS) before this process had the queue.

        A worker that was stopped by a command must not obey it again when it is back.
        """
        known = self._queues.get(queue)
        return known is not None and sent < known.born

    def forget(self, queue: str) -> None:
        """The queue is gone: the next :meth:`declare` makes it again and binds it."""
        if queue in self._queues:
            self._queues[queue].url = None

    def delete(self, queue: str) -> None:
        """Deletes the queue and its subscription; failures leave them to the cleanup."""
        known = self._queues.pop(queue, None)
        if known is None or known.url is None:
            return
        try:
            if known.subscription:
                self._fanout.unsubscribe(known.subscription)
            self._client().delete_queue(QueueUrl=known.url)
        except (*CallFailed, KeyError) as error:  # KeyError: an answer that is not AWS's XML
            logger.info("left to the cleanup: %s: %r", known.name, error)

    def close(self) -> None:
        """Deletes replies and events; control queues stay for the worker's next start."""
        for queue in list(self._queues):
            if is_control(queue):
                self._queues.pop(queue)
            else:
                self.delete(queue)

    def _attributes(self, queue: str, name: str, exchange: str | None) -> dict[str, str]:
        if not (is_reply(queue) or is_control(queue) or is_event(queue)):
            attributes = {"VisibilityTimeout": str(self._visibility_timeout)}
        else:
            attributes = {
                "VisibilityTimeout": str(VISIBILITY),
                "MessageRetentionPeriod": str(RETENTION),
            }
        if exchange is not None and not is_reply(queue):
            topic = self._fanout.topic(exchange)
            if topic is not None:
                attributes["Policy"] = queue_policy(topic, name)
        return attributes

    def _take(self, queue: _AutoDeleteQueue, app: str) -> str:
        tags = _tags() | ({APP_TAG: app} if app else {})
        url = ensure_queue(self._client(), queue.name, attributes=queue.attributes, tags=tags)
        if app:
            self._refuse_another_application(queue.name, url, app)
        answer = self._client().tag_queue(QueueUrl=url, Tags=tags)  # it may have been there
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")  # whole seconds, rounded down
        queue.born = parsedate_to_datetime(date).timestamp() if date else 0.0
        queue.seen = time.monotonic()
        return url

    def _refuse_another_application(self, name: str, url: str, app: str) -> None:
        """Its commands would be obeyed here: one application's shutdown ended another's worker."""
        tags = readable_tags(self._client(), url)
        other, seen = tags.get(APP_TAG, app), tags.get(SEEN_TAG, "0")
        if other != app and seen.isdigit() and time.time() - int(seen) < ABANDONED_AFTER:
            raise InvalidOptions(
                f"broker_transport_options: namespace: the control queue {name} belongs to the "
                f"application {other}: give {app} a namespace of its own"
            )


def _tags() -> dict[str, str]:
    return {TAG: "1", SEEN_TAG: str(int(time.time()))}
