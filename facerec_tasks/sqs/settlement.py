"""Settles deliveries from a thread, in batches: delete, make visible again, bury.

The worker's event loop never waits for AWS. A settlement that fails is tried again for a minute;
one that is lost costs a second run of the task, never the task.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from celery.utils.log import get_logger

from facerec_tasks.sqs.client import CallFailed, is_no_such_queue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = get_logger(__name__)

BATCH = 10
"""Entries in one batch call.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessageBatch.html
"""
LINGER = 0.5
"""Seconds a delete waits for others to share its call."""
GIVE_UP_AFTER = 60.0
RETRY_PAUSE = 1.0


@dataclass(frozen=True)
class Settled:
    """One delivery and what becomes of it."""

    kind: Literal["delete", "visibility", "bury"]
    url: str
    receipt: str
    seconds: int = 0
    """Until it is visible again."""
    body: str = ""
    """The raw message, to be buried."""
    deadline: float = 0.0


class Settlement:
    """The outgoing settlements of one connection. Thread-safe."""

    def __init__(
        self, client: Callable[[], "SQSClient"], grave: Callable[[str], str | None]
    ) -> None:
        """``grave`` gives the URL of a queue's dead-letter queue, if it has one; may raise."""
        self._client = client
        self._grave = grave
        self._pending: list[Settled] = []
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._urgent = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def delete(self, url: str, receipt: str) -> None:
        """The message was dealt with."""
        self._add(Settled("delete", url, receipt, deadline=_deadline()), urgent=False)

    def postpone(self, url: str, receipt: str, seconds: int = 0) -> None:
        """The message shall be visible again in so many seconds."""
        one = Settled("visibility", url, receipt, seconds=seconds, deadline=_deadline())
        self._add(one, urgent=True)

    def bury(self, url: str, receipt: str, body: str) -> None:
        """The message goes to the dead-letter queue, and only then from its own."""
        self._add(Settled("bury", url, receipt, body=body, deadline=_deadline()), urgent=True)

    def flush(self) -> None:
        """Sends what is pending in the caller's thread; what fails is dropped with a warning."""
        with self._sending:
            failed = self._send(self._take())
        for one in failed:
            logger.warning("%s did not reach %s: the task may run twice", one.kind, one.url)

    def close(self) -> None:
        """Flushes and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.flush()

    def _add(self, settled: Settled, *, urgent: bool) -> None:
        with self._changed:
            self._pending.append(settled)
            self._urgent |= urgent
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="sqs-settle", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if self._closed:
            self.flush()

    def _run(self) -> None:
        while self._wait():
            with self._sending:
                failed = self._send(self._take())
            if failed and not self._closed:
                self._again(failed)
                time.sleep(RETRY_PAUSE)

    def _wait(self) -> bool:
        """Until something is to be sent; false when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            if not self._closed:
                self._changed.wait_for(self._full, timeout=LINGER)
            return not self._closed

    def _full(self) -> bool:
        return self._urgent or self._closed or len(self._pending) >= BATCH

    def _take(self) -> list[Settled]:
        with self._changed:
            taken, self._pending, self._urgent = self._pending, [], False
            return taken

    def _again(self, failed: list[Settled]) -> None:
        now = time.monotonic()
        alive = [one for one in failed if one.deadline > now]
        if len(alive) < len(failed):
            logger.warning("%d settlements given up: tasks may run twice", len(failed) - len(alive))
        with self._changed:
            self._pending[:0] = alive

    def _send(self, settled: Sequence[Settled]) -> list[Settled]:
        """Sends all; returns those worth another try."""
        failed: list[Settled] = []
        for batch in _batches(settled):
            try:
                failed += self._send_batch(batch)
            except CallFailed as error:
                if is_no_such_queue(error):
                    continue  # nothing left to settle
                logger.warning("%s of %d messages failed: %r", batch[0].kind, len(batch), error)
                failed += batch
        return failed

    def _send_batch(self, batch: Sequence[Settled]) -> list[Settled]:
        if batch[0].kind == "bury":
            return self._bury(batch)
        if batch[0].kind == "delete":
            return self._delete(batch)
        return self._set_visibility(batch)

    def _delete(self, batch: Sequence[Settled]) -> list[Settled]:
        answer = self._client().delete_message_batch(
            QueueUrl=batch[0].url,
            Entries=[{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(batch)],
        )
        return _retriable(batch, answer.get("Failed", ()))

    def _set_visibility(self, batch: Sequence[Settled]) -> list[Settled]:
        answer = self._client().change_message_visibility_batch(
            QueueUrl=batch[0].url,
            Entries=[
                {"Id": str(n), "ReceiptHandle": one.receipt, "VisibilityTimeout": one.seconds}
                for n, one in enumerate(batch)
            ],
        )
        return _retriable(batch, answer.get("Failed", ()))

    def _bury(self, batch: Sequence[Settled]) -> list[Settled]:
        """The copy in the grave first: a crash between the two leaves two messages, never none."""
        grave = self._grave(batch[0].url)
        if grave is None:
            logger.error("%s has no dead-letter queue: a rejected message is gone", batch[0].url)
            return self._delete(batch)
        failed: list[Settled] = []
        for one in batch:  # one by one: a batch may not exceed 1 MiB in all
            try:
                self._client().send_message(QueueUrl=grave, MessageBody=one.body)
                failed += self._delete([one])
            except CallFailed as error:
                logger.warning("cannot bury a message of %s: %r", one.url, error)
                failed.append(one)
        return failed


def dead_letter_queue(client: "SQSClient", url: str) -> str | None:
    """Name of the queue's dead-letter queue, if it has one."""
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    policy = answer.get("Attributes", {}).get("RedrivePolicy")
    return str(json.loads(policy)["deadLetterTargetArn"].rsplit(":", 1)[1]) if policy else None


def extend(client: "SQSClient", url: str, receipts: Sequence[str], seconds: int) -> None:
    """Sets the visibility of held messages; entries that fail are someone else's by now."""
    for start in range(0, len(receipts), BATCH):
        client.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                for n, receipt in enumerate(receipts[start : start + BATCH])
            ],
        )


def _deadline() -> float:
    return time.monotonic() + GIVE_UP_AFTER


def _batches(settled: Sequence[Settled]) -> Iterator[list[Settled]]:
    """Up to ten of the same kind and queue, in the order of their coming."""
    groups: dict[tuple[str, str], list[Settled]] = {}
    for one in settled:
        groups.setdefault((one.kind, one.url), []).append(one)
    for group in groups.values():
        for start in range(0, len(group), BATCH):
            yield group[start : start + BATCH]


def _retriable(batch: Sequence[Settled], failed: Sequence[object]) -> list[Settled]:
    """Entries AWS could not take this time; an outdated receipt is the sender's fault and final."""
    again = []
    for entry in failed:
        assert isinstance(entry, dict)
        if entry.get("SenderFault"):
            logger.info("outdated %s: %s", batch[0].kind, entry.get("Code"))
        else:
            again.append(batch[int(entry["Id"])])
    return again
