"""Moves messages from the dead-letter queue back to the queue, oldest first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_sqs._aws.batching import failed_entries, split
from celery_sqs._aws.queues import MAX_BATCH, delete_batch

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

HELD_SECONDS = 900
"""A message is hidden from others while it is redriven; then it is a dead letter again."""
WAIT_SECONDS = 2
"""Of the long poll that finds nothing more."""


@dataclass(frozen=True)
class Redriven:
    """What a redrive did."""

    moved: int
    refused: int
    """Messages the queue would not take, such as too large ones: they stay dead letters."""


def redrive(
    client: "SQSClient",
    dead_letters: str,
    queue: str,
    *,
    limit: int | None = None,
    prepare: Callable[[str], None] = lambda body: None,
) -> Redriven:
    """Moves messages from the URL ``dead_letters`` to the URL ``queue``, at most ``limit``.

    AWS's own message move keeps no order. Here all are received, sorted by the time they were sent
    (a message that AWS moved keeps its first time, one that a worker dead-lettered that time) and
    sent again, each deleted only when the queue has it: a crash leaves a message in both queues,
    never in none. ``prepare`` is told each body before it is sent. Raises botocore's errors.
    """
    held = _receive_all(client, dead_letters, limit)
    held.sort(key=_sent_at)
    moved = refused = 0
    for batch in split(held, lambda message: len(message["Body"].encode())):
        for message in batch:
            prepare(message["Body"])
        taken = _send(client, queue, batch)
        if taken:
            delete_batch(client, dead_letters, taken)
        _release(client, dead_letters, [m for m in batch if m not in taken])
        moved += len(taken)
        refused += len(batch) - len(taken)
    return Redriven(moved, refused)


def _receive_all(client: "SQSClient", url: str, limit: int | None) -> "list[MessageTypeDef]":
    held: list[MessageTypeDef] = []
    while limit is None or len(held) < limit:
        found = client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=MAX_BATCH if limit is None else min(MAX_BATCH, limit - len(held)),
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=HELD_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
        if not found:
            break
        held += found
    return held


def _sent_at(message: "MessageTypeDef") -> int:
    """Unix milliseconds."""
    return int(message.get("Attributes", {}).get("SentTimestamp", 0))


def _send(
    client: "SQSClient", url: str, batch: "Sequence[MessageTypeDef]"
) -> "list[MessageTypeDef]":
    """Those of the batch the queue has taken."""
    answer = client.send_message_batch(
        QueueUrl=url,
        Entries=[{"Id": str(i), "MessageBody": m["Body"]} for i, m in enumerate(batch)],
    )
    failed = failed_entries(answer)
    return [message for index, message in enumerate(batch) if index not in failed]


def _release(client: "SQSClient", url: str, messages: "Sequence[MessageTypeDef]") -> None:
    for message in messages:
        client.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
