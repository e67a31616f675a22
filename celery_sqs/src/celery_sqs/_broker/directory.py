"""Names, URLs and attributes of the queues of one connection."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from celery.utils.log import get_logger

from celery_sqs._aws import queues
from celery_sqs._aws.client import CallFailed, is_forbidden
from celery_sqs._broker.auto_delete import AutoDeleteQueues, is_control, is_event, is_reply
from celery_sqs._broker.names import legal_name, process_queue_name, split_fifo
from celery_sqs.errors import NoSuchQueue

if TYPE_CHECKING:
    from celery_sqs._session import Session
    from celery_sqs.options import Options

logger = get_logger(__name__)

ATTRIBUTES_SECONDS = 300.0
"""How long a queue's attributes are believed."""
MAX_MESSAGE_SIZE = 1_048_576
"""Bytes of a message, if its queue does not say less.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""
MAX_RECEIVES = 100
"""``maxReceiveCount`` of a queue that is created here: hand-backs and abandoned polls count as
receives, so it is a backstop and says little about a task."""
DEAD_LETTER_SUFFIX = "-dlq"


@dataclass(frozen=True)
class QueueAttributes:
    """What a queue says of itself; the defaults are for one that may not be asked."""

    visibility_timeout: int | None = None
    max_message_size: int = MAX_MESSAGE_SIZE
    retention: int = queues.MAX_RETENTION
    max_receives: int | None = None
    dead_letter_queue: str | None = None
    """Its name."""

    @classmethod
    def of(cls, found: Mapping[str, str]) -> "QueueAttributes":
        policy = json.loads(found.get("RedrivePolicy") or "{}")
        arn = policy.get("deadLetterTargetArn")
        return cls(
            int(found["VisibilityTimeout"]) if "VisibilityTimeout" in found else None,
            int(found.get("MaximumMessageSize", MAX_MESSAGE_SIZE)),
            int(found.get("MessageRetentionPeriod", queues.MAX_RETENTION)),
            int(policy["maxReceiveCount"]) if "maxReceiveCount" in policy else None,
            arn.rsplit(":", 1)[1] if arn else None,
        )


class QueueDirectory:
    """Finds and creates the queues of one connection by kombu's names for them."""

    def __init__(
        self,
        session: "Session",
        options: "Options",
        auto_delete: AutoDeleteQueues,
        transport_options: Mapping[str, Any],
    ) -> None:
        self._session = session
        self._options = options
        self._auto_delete = auto_delete
        self._given = transport_options
        self._prefix: str = transport_options.get("queue_name_prefix") or ""
        self._predefined = bool(transport_options.get("predefined_queues"))
        self._attributes: dict[str, tuple[QueueAttributes, float]] = {}

    # Names

    def process_name(self, queue: str) -> str:
        """SQS name of a queue that belongs to a process."""
        return process_queue_name(self._options.namespace, queue)

    def name(self, queue: str) -> str:
        """SQS name of any queue."""
        if is_reply(queue) or is_control(queue) or self._is_auto_delete(queue):
            return self.process_name(queue)
        return legal_name(self._prefix + queue)

    def _is_auto_delete(self, queue: str) -> bool:
        """An event queue is one when it is deleted, too: a thread of Flower may still ask then."""
        return is_event(queue) or queue in self._auto_delete

    # URLs

    def find(self, queue: str) -> str | None:
        """The queue's URL, or None when there is no such queue."""
        urls = self._session.queue_urls
        if self._predefined:
            return urls.get(queue)
        name = self.name(queue)
        if name not in urls:
            url = queues.find_url(self._session.sqs(), name)
            if url is None:
                return None
            urls[name] = url
        return urls[name]

    def url(self, queue: str, *, exchange: Callable[[], str | None], auto_delete: bool) -> str:
        """The queue's URL; the queue is made if there is none.

        ``exchange`` gives the one that may be bound to a queue of a process.
        """
        if is_reply(queue):
            own = self._session.reply_queue_pool.queue(queue)
            return self._session.reply_queues.declare(own, self.process_name(own), None)
        if auto_delete or self._is_auto_delete(queue):
            return self._auto_delete.declare(queue, self.process_name(queue), exchange())
        return self.find(queue) or self._create(queue)

    def forget(self, queue: str) -> None:
        """The queue is gone: ask again for it, or make it again if it belongs to this process."""
        if is_reply(queue):
            self._session.reply_queue_pool.rotate()
            return
        url = self._session.queue_urls.pop(self.name(queue), None)
        self._attributes.pop(url or "", None)
        self._auto_delete.forget(queue)

    def delete(self, queue: str) -> None:
        if is_reply(queue):
            return  # the thread's next call takes it
        if queue in self._auto_delete:
            self._auto_delete.delete(queue)
            return
        url = self.find(queue)
        if url is not None:
            self._session.sqs(url).delete_queue(QueueUrl=url)
            self.forget(queue)

    def _create(self, queue: str) -> str:
        """A task queue with its dead-letter queue; both keep messages for 14 days."""
        if self._predefined:
            raise NoSuchQueue(f"{queue} is not among predefined_queues")
        name = self.name(queue)
        attributes = {
            "VisibilityTimeout": str(self._options.visibility_timeout),
            "MessageRetentionPeriod": str(queues.MAX_RETENTION),
            **({"FifoQueue": "true"} if name.endswith(".fifo") else {}),
            **(self._given.get("sqs-creation-attributes") or {}),
        }
        if "RedrivePolicy" not in attributes:
            attributes["RedrivePolicy"] = self._dead_letter_policy(name)
        url = queues.ensure_queue(
            self._session.sqs(), name, attributes=attributes, tags=self._given.get("queue_tags")
        )
        self._session.queue_urls[name] = url
        return url

    def _dead_letter_policy(self, name: str) -> str:
        base, fifo = split_fifo(name)
        room = queues.MAX_QUEUE_NAME - len(fifo) - len(DEAD_LETTER_SUFFIX)
        dead_letters = base[:room] + DEAD_LETTER_SUFFIX + fifo
        attributes = {
            "MessageRetentionPeriod": str(queues.MAX_RETENTION),
            **({"FifoQueue": "true"} if fifo else {}),
        }
        client = self._session.sqs()
        url = queues.ensure_queue(
            client, dead_letters, attributes=attributes, tags=self._given.get("queue_tags")
        )
        logger.info("created %s for what %s rejects", dead_letters, name)
        return queues.redrive_policy(client, url, MAX_RECEIVES)

    # Attributes

    def attributes(self, url: str) -> QueueAttributes:
        """What the queue says of itself, asked of SQS every five minutes at most.

        Raises botocore's errors, but not for a missing permission: then the defaults are used.
        """
        known, until = self._attributes.get(url, (QueueAttributes(), 0.0))
        if time.monotonic() < until:
            return known
        try:
            found = self._session.sqs(url).get_queue_attributes(
                QueueUrl=url, AttributeNames=["All"]
            )
            known = QueueAttributes.of(found.get("Attributes", {}))  # type: ignore[arg-type]
        except ClientError as error:
            if not is_forbidden(error):
                raise
            logger.info("%s may not be asked for its attributes", url)
        self._attributes[url] = (known, time.monotonic() + ATTRIBUTES_SECONDS)
        return known

    def dead_letter_url(self, url: str) -> str | None:
        """URL of the queue's dead-letter queue, if it has one."""
        name = self.attributes(url).dead_letter_queue
        return queues.find_url(self._session.sqs(url), name) if name else None

    def max_receives(self, url: str) -> int | None:
        """The queue's ``maxReceiveCount``; None when it has none or cannot be asked now."""
        try:
            return self.attributes(url).max_receives
        except CallFailed as error:
            logger.info("%s: no attributes now: %r", url, error)
            return None
