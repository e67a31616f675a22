"""Settles deliveries from a thread, in batches: delete, make visible again, dead_letter.

The worker's event loop never waits for AWS. A acknowledger that fails is tried again for a while;
one that is lost costs a second run of the task, never the task.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from celery.utils.log import get_logger

from celery_sqs._aws.batching import BatchProcessor
from celery_sqs._aws.client import CallFailed, is_no_such_queue
from celery_sqs._aws.queues import MAX_BATCH

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = get_logger(__name__)

LINGER = 0.5
"""Seconds a delete waits for others to share its call."""
PATIENCE = 60.0
"""Seconds until a acknowledger that keeps failing is given up."""

Failed = Mapping[int, bool]


class Line(NamedTuple):
    """What may share a call: the same to be done in the same queue."""

    kind: Literal["delete", "visibility", "dead_letter"]
    url: str


@dataclass(frozen=True)
class Acknowledgement:
    """One delivery and what becomes of it."""

    receipt: str
    seconds: int = 0
    """Until it is visible again."""
    body: str = ""
    """The raw message, to be buried."""


class Acknowledger:
    """The session settlements of one connection, or of one response queue. Thread-safe."""

    def __init__(
        self,
        client: Callable[[], "SQSClient"],
        grave: Callable[[str], str | None] = lambda url: None,
        *,
        linger: float = LINGER,
        patience: float = PATIENCE,
        name: str = "sqs-settle",
    ) -> None:
        """``grave`` gives the URL of a queue's dead-letter queue, if it has one; may raise."""
        self._client = client
        self._grave = grave
        self._linger = linger
        self._batches: BatchProcessor[Line, Acknowledgement] = BatchProcessor(
            self._flush, name=name, patience=patience
        )

    def delete(self, url: str, receipt: str) -> None:
        """The message was dealt with."""
        self._batches.add(Line("delete", url), Acknowledgement(receipt), linger=self._linger)

    def change_visibility(self, url: str, receipt: str, seconds: int = 0) -> None:
        """The message shall be visible again in so many seconds."""
        self._batches.add(Line("visibility", url), Acknowledgement(receipt, seconds=seconds))

    def dead_letter(self, url: str, receipt: str, body: str) -> None:
        """The message goes to the dead-letter queue, and only then from its own."""
        self._batches.add(Line("dead_letter", url), Acknowledgement(receipt, body=body))

    def flush(self) -> bool:
        """Sends what is pending in the caller's thread; false when some of it was dropped."""
        return self._batches.flush()

    def close(self) -> None:
        """Flushes and ends the thread."""
        self._batches.close()

    def counts(self) -> dict[str, int]:
        """Messages deleted or otherwise settled, those given up, and calls made."""
        batches = self._batches
        return {
            "deleted": batches.carried,
            "not_deleted": batches.failed,
            "delete_calls": batches.calls,
        }

    def _flush(self, line: Line, batch: Sequence[Acknowledgement]) -> Failed:
        try:
            if line.kind == "dead_letter":
                return self._bury(line.url, batch)
            if line.kind == "delete":
                return self._delete(line.url, batch)
            return self._set_visibility(line.url, batch)
        except CallFailed as error:
            if is_no_such_queue(error):
                return {}  # nothing left to settle
            raise

    def _delete(self, url: str, batch: Sequence[Acknowledgement]) -> Failed:
        answer = self._client().delete_message_batch(
            QueueUrl=url,
            Entries=[{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(batch)],
        )
        return _failed(answer.get("Failed", ()))

    def _set_visibility(self, url: str, batch: Sequence[Acknowledgement]) -> Failed:
        answer = self._client().change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(n), "ReceiptHandle": one.receipt, "VisibilityTimeout": one.seconds}
                for n, one in enumerate(batch)
            ],
        )
        return _failed(answer.get("Failed", ()))

    def _bury(self, url: str, batch: Sequence[Acknowledgement]) -> Failed:
        """The copy in the grave first: a crash between the two leaves two messages, never none."""
        grave = self._grave(url)
        if grave is None:
            logger.error("%s has no dead-letter queue: a rejected message is gone", url)
            return self._delete(url, batch)
        failed: dict[int, bool] = {}
        for n, one in enumerate(batch):  # one by one: a batch may not exceed 1 MiB in all
            try:
                self._client().send_message(QueueUrl=grave, MessageBody=one.body)
                if 0 in (refused := self._delete(url, [one])):
                    failed[n] = refused[0]
            except CallFailed as error:
                logger.warning("cannot dead_letter a message of %s: %r", url, error)
                failed[n] = True
        return failed


def dead_letter_queue(client: "SQSClient", url: str) -> str | None:
    """Name of the queue's dead-letter queue, if it has one."""
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    policy = answer.get("Attributes", {}).get("RedrivePolicy")
    return str(json.loads(policy)["deadLetterTargetArn"].rsplit(":", 1)[1]) if policy else None


def extend(client: "SQSClient", url: str, receipts: Sequence[str], seconds: int) -> None:
    """Sets the visibility of held messages; entries that fail are someone else's by now."""
    for start in range(0, len(receipts), MAX_BATCH):
        client.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                for n, receipt in enumerate(receipts[start : start + MAX_BATCH])
            ],
        )


def _failed(entries: Sequence[object]) -> Failed:
    """Entries that failed; an outdated receipt is the sender's fault and will never pass."""
    failed = {}
    for entry in entries:
        assert isinstance(entry, dict)
        failed[int(entry["Id"])] = not entry.get("SenderFault")
    return failed
