"""Administration of queues: attributes, counts, redrive, purge, usage tags."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from celery_sqs._aws.client import error_code, is_forbidden, is_no_such_queue
from celery_sqs.errors import NoSuchQueue, PurgeInProgress

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

MAX_RETENTION = 14 * 24 * 3600
"""Seconds, the longest SQS keeps a message.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""
MAX_WAIT = 20
"""Seconds, the longest long poll of SQS."""
MAX_BATCH = 10
"""Entries of one batch call, messages of one receive."""
MAX_BATCH_BYTES = 262_144
"""Bytes of all entries of one call. AWS takes 1 MiB since August 2025; emulators still 256 KiB.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""
MAX_QUEUE_NAME = 80
RENEW_AFTER = 3600.0
"""Seconds between two renewals of the tag that says that a queue is in use."""
ABANDONED_AFTER = 3 * RENEW_AFTER
"""Seconds after which a queue whose user has not renewed its tag counts as abandoned."""

RESPONSE_QUEUE_ATTRIBUTES = {
    # Short, because SQS may hand results to the open poll of a client that was killed: until they
    # are visible again, the next client of this queue cannot see them.
    "VisibilityTimeout": "10",
    "MessageRetentionPeriod": "3600",
    "ReceiveMessageWaitTimeSeconds": str(MAX_WAIT),
}
"""Attributes of every response queue."""

OWNER_TAG = "celery-owner"
"""Who uses a queue that only one client may use."""
SEEN_TAG = "celery-seen"
"""Unix second at which the user of a queue last said that it lives. Queues without it are never
swept."""


@dataclass(frozen=True)
class Counts:
    """Messages of a queue. SQS calls them approximate: they may lag by up to a minute."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.in_flight + self.delayed


def find_url(client: "SQSClient", name: str) -> str | None:
    """The queue's URL, or none when there is no such queue."""
    try:
        return client.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if is_no_such_queue(error):
            return None
        raise


def queue_url(client: "SQSClient", name: str) -> str:
    """The queue's URL; raises :class:`NoSuchQueue`."""
    url = find_url(client, name)
    if url is None:
        raise NoSuchQueue(name)
    return url


def queue_arn(client: "SQSClient", url: str) -> str:
    """The queue's ARN."""
    return _attributes(client, url, "QueueArn")["QueueArn"]


def ensure_queue(
    client: "SQSClient",
    name: str,
    *,
    attributes: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """The URL of a queue that has these attributes: created, or corrected where it differs.

    Tags are given to a queue this call creates, never to one that exists. A name whose queue was
    deleted within the last 60 s is refused by AWS with ``QueueDeletedRecently``.
    """
    wanted = dict(attributes or {})
    url = find_url(client, name)
    if url is None:
        return _create(client, name, wanted, tags or {})
    _correct(client, url, wanted)
    return url


def _create(client: "SQSClient", name: str, wanted: dict[str, str], tags: Mapping[str, str]) -> str:
    try:
        return client.create_queue(
            QueueName=name,
            Attributes=wanted,  # type: ignore[arg-type]
            tags=dict(tags),
        )["QueueUrl"]
    except ClientError as error:
        # Somebody created it between our two calls, with other attributes.
        if not error_code(error).endswith(("QueueAlreadyExists", "QueueNameExists")):
            raise
    url = queue_url(client, name)
    _correct(client, url, wanted)
    return url


def _correct(client: "SQSClient", url: str, wanted: dict[str, str]) -> None:
    if not wanted:
        return
    actual = _attributes(client, url, *wanted)
    differing = {k: v for k, v in wanted.items() if not _same(actual.get(k), v)}
    if differing:
        client.set_queue_attributes(QueueUrl=url, Attributes=differing)  # type: ignore[arg-type]


def _same(actual: str | None, wanted: str) -> bool:
    """Policies and redrive policies come back as equal JSON in another spelling."""
    if actual == wanted:
        return True
    if actual is None or not wanted.startswith("{"):
        return False
    return bool(_plain(json.loads(actual)) == _plain(json.loads(wanted)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else str(value)


def _attributes(client: "SQSClient", url: str, *names: str) -> dict[str, str]:
    found = client.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=list(names),  # type: ignore[arg-type]
    )
    return dict(found.get("Attributes", {}))  # type: ignore[arg-type]


def ensure_request_queue(
    client: "SQSClient",
    name: str,
    dlq_name: str,
    *,
    max_message_bytes: int,
    visibility_timeout: int,
    max_receive_count: int = 100,
) -> str:
    """The URL of a queue of tasks with its dead-letter queue; both keep messages for 14 days.

    ``max_receive_count`` is only the backstop: give-backs and abandoned polls burn receives too,
    so poison messages are found by their starts long before.
    """
    dead_letters = ensure_queue(
        client, dlq_name, attributes={"MessageRetentionPeriod": str(MAX_RETENTION)}
    )
    return ensure_queue(
        client,
        name,
        attributes={
            "MaximumMessageSize": str(max_message_bytes),
            "VisibilityTimeout": str(visibility_timeout),
            "MessageRetentionPeriod": str(MAX_RETENTION),
            "ReceiveMessageWaitTimeSeconds": str(MAX_WAIT),
            "RedrivePolicy": redrive_policy(client, dead_letters, max_receive_count),
        },
    )


def redrive_policy(client: "SQSClient", dead_letters: str, max_receive_count: int) -> str:
    """For a queue whose dead-letter queue has that URL."""
    arn = queue_arn(client, dead_letters)
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": max_receive_count})


def counts(client: "SQSClient", name: str) -> Counts:
    """How many messages a queue holds; raises :class:`NoSuchQueue`, never answers 0 for it."""
    return counts_of(client, queue_url(client, name))


def counts_of(client: "SQSClient", url: str) -> Counts:
    """The same of a queue's URL."""
    names = {
        "visible": "ApproximateNumberOfMessages",
        "in_flight": "ApproximateNumberOfMessagesNotVisible",
        "delayed": "ApproximateNumberOfMessagesDelayed",
    }
    found = _attributes(client, url, *names.values())
    return Counts(**{field: int(found[attribute]) for field, attribute in names.items()})


def purge(client: "SQSClient", url: str) -> None:
    """Deletes every message of a queue, for ever; raises :class:`PurgeInProgress`.

    AWS takes up to a minute, in which messages may still be received and new ones are lost.
    """
    try:
        client.purge_queue(QueueUrl=url)
    except ClientError as error:
        if error_code(error).endswith("PurgeQueueInProgress"):
            raise PurgeInProgress(url) from error
        raise


def drain(client: "SQSClient", url: str) -> int:
    """Receives and deletes what is visible; returns how many messages that were."""
    drained = 0
    while True:
        received = client.receive_message(QueueUrl=url, MaxNumberOfMessages=MAX_BATCH)
        messages = received.get("Messages", [])
        if not messages:
            return drained
        delete_batch(client, url, messages)
        drained += len(messages)


def delete_batch(client: "SQSClient", url: str, messages: "Sequence[MessageTypeDef]") -> None:
    """Deletes up to ten received messages; what fails is delivered again."""
    client.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
            for n, message in enumerate(messages)
        ],
    )


def read_tags(client: "SQSClient", url: str) -> dict[str, str]:
    """The queue's tags."""
    return dict(client.list_queue_tags(QueueUrl=url).get("Tags", {}))


def readable_tags(client: "SQSClient", url: str) -> dict[str, str]:
    """The same; nothing for a queue we may not look at, whose owner's id may begin with ours."""
    try:
        return read_tags(client, url)
    except ClientError as error:
        if is_forbidden(error):
            return {}
        raise


def queue_urls(client: "SQSClient", prefix: str) -> Iterator[str]:
    """URLs of all queues whose name begins so, page by page."""
    pages = client.get_paginator("list_queues").paginate(
        QueueNamePrefix=prefix, PaginationConfig={"PageSize": 1000}
    )
    for page in pages:
        yield from page.get("QueueUrls", ())
