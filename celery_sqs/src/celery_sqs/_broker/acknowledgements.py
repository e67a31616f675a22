"""Acknowledges deliveries from a thread, in batches: delete, make visible again, dead-letter.

The worker's event loop never waits for AWS. An acknowledgement that fails is tried again for a
while; one that is lost costs a second run of the task, never the task.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from celery.utils.log import get_logger

from celery_sqs._aws.batching import BatchProcessor, failed_entries
from celery_sqs._aws.client import CallFailed, is_no_such_queue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from celery_sqs._broker.held_messages import HeldMessage

logger = get_logger(__name__)

LINGER_SECONDS = 0.5
"""A delete waits for others to share its call."""
RETRY_TIMEOUT = 60.0
"""Seconds until an acknowledgement that keeps failing is given up."""
KEPT_SECONDS = 3600
"""Until a rejected message whose queue has no dead-letter queue is delivered again."""

Failed = Mapping[int, bool]


class Key(NamedTuple):
    """What may share a call: the same to be done in the same queue."""

    kind: Literal["delete", "visibility", "dead_letter"]
    url: str


@dataclass(frozen=True)
class Acknowledgement:
    """One delivery and what becomes of it."""

    receipt: str
    seconds: int = 0
    """Until it is visible again."""
    message: "HeldMessage | None" = None
    """What goes to the dead-letter queue."""


class Acknowledger(BatchProcessor[Key, Acknowledgement]):
    """The outgoing acknowledgements of one connection, or of one response queue. Thread-safe."""

    def __init__(
        self,
        client: Callable[[str], "SQSClient"],
        dead_letter_url: Callable[[str], str | None] = lambda url: None,
        *,
        linger: float = LINGER_SECONDS,
        retry_timeout: float = RETRY_TIMEOUT,
        name: str = "sqs-acknowledger",
    ) -> None:
        """``client`` and ``dead_letter_url`` are asked with a queue URL; the latter may raise."""
        super().__init__(self._acknowledge, name=name, retry_timeout=retry_timeout)
        self._client = client
        self._dead_letter_url = dead_letter_url
        self._linger = linger

    def delete(self, url: str, receipt: str, on_done: Callable[[], None] | None = None) -> None:
        """The message was dealt with; ``on_done`` is called when SQS has deleted it."""
        self.add(Key("delete", url), Acknowledgement(receipt), linger=self._linger, on_done=on_done)

    def change_visibility(self, url: str, receipt: str, seconds: int = 0) -> None:
        """Makes the message visible again after ``seconds``."""
        self.add(Key("visibility", url), Acknowledgement(receipt, seconds=seconds))

    def dead_letter(self, message: "HeldMessage") -> None:
        """The message goes to the dead-letter queue, and only then from its own."""
        self.add(Key("dead_letter", message.url), Acknowledgement(message.receipt, message=message))

    def counts(self) -> dict[str, int]:
        """Messages deleted or otherwise acknowledged, those given up, and calls made."""
        return {
            "deleted": self.flushed,
            "not_deleted": self.failed,
            "delete_calls": self.calls,
        }

    def extend(self, url: str, receipts: Sequence[str], seconds: int) -> Failed:
        """Makes up to ten held messages stay invisible; in the caller's thread, may raise."""
        return self._set_visibility(url, [Acknowledgement(each, seconds) for each in receipts])

    def _acknowledge(self, key: Key, batch: Sequence[Acknowledgement]) -> Failed:
        try:
            if key.kind == "dead_letter":
                return self._dead_letter(key.url, batch)
            if key.kind == "delete":
                return self._delete(key.url, batch)
            return self._set_visibility(key.url, batch)
        except CallFailed as error:
            if is_no_such_queue(error):
                return {}  # nothing left to acknowledge
            raise

    def _delete(self, url: str, batch: Sequence[Acknowledgement]) -> Failed:
        answer = self._client(url).delete_message_batch(
            QueueUrl=url,
            Entries=[{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(batch)],
        )
        return failed_entries(answer)

    def _set_visibility(self, url: str, batch: Sequence[Acknowledgement]) -> Failed:
        answer = self._client(url).change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(n), "ReceiptHandle": one.receipt, "VisibilityTimeout": one.seconds}
                for n, one in enumerate(batch)
            ],
        )
        return failed_entries(answer)

    def _dead_letter(self, url: str, batch: Sequence[Acknowledgement]) -> Failed:
        """The copy goes before the delete: a crash in between leaves two messages, never none."""
        target = self._dead_letter_url(url)
        if target is None:
            logger.error("%s has no dead-letter queue: a rejected message stays in it", url)
            kept = [Acknowledgement(one.receipt, KEPT_SECONDS) for one in batch]
            return self._set_visibility(url, kept)
        failed: dict[int, bool] = {}
        for n, one in enumerate(batch):  # one by one: a batch may not exceed 1 MiB in all
            assert one.message is not None
            try:
                self._client(url).send_message(QueueUrl=target, **_copy(one.message))
                if 0 in (refused := self._delete(url, [one])):
                    failed[n] = refused[0]
            except CallFailed as error:
                logger.warning("cannot dead-letter a message of %s: %r", url, error)
                failed[n] = True
        return failed


def _copy(message: "HeldMessage") -> dict[str, Any]:
    """The parameters that send a message again unchanged."""
    copy: dict[str, Any] = {"MessageBody": message.body}
    if message.attributes:
        copy["MessageAttributes"] = message.attributes
    if message.group is not None:
        copy["MessageGroupId"] = message.group
    if message.url.endswith(".fifo"):
        copy["MessageDeduplicationId"] = message.message_id
    return copy
