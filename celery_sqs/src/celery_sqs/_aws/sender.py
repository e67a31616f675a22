"""Blocking sends that batch themselves: what gathers while a call is in flight goes with the next.

There is no timer and no thread. A caller that finds no call in flight makes one at once; those
that come meanwhile wait, and the first of them takes all that fit into the next call. A single
caller never waits for others; under load the batches grow by themselves.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from celery_sqs import _runtime
from celery_sqs._aws.batching import first_batch
from celery_sqs._aws.client import CallFailed, is_refusal, may_pass
from celery_sqs.errors import SendFailed, SendTimeout

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchResultTypeDef

MAX_ATTEMPTS = 3
"""Of one entry that AWS failed by its own fault."""
RETRY_PAUSE = 0.1
DEADLINE = 120.0
"""Seconds after which a send gives up waiting for its turn or its acknowledgement; above what one
call with its retries can take."""


@dataclass(eq=False)
class Entry:
    """One message on its way."""

    body: str
    fields: Mapping[str, Any]
    size: int
    wake: threading.Event = field(default_factory=threading.Event)
    """Set when it has an outcome or its thread must lead."""
    leads: bool = False
    message_id: str | None = None
    error: Exception | None = None

    @classmethod
    def of(cls, body: str, fields: Mapping[str, Any]) -> "Entry":
        """``fields`` are further members of a batch entry, such as ``DelaySeconds``."""
        return cls(body, fields, _size(body, fields))

    @property
    def done(self) -> bool:
        return self.message_id is not None or self.error is not None

    @property
    def may_pass(self) -> bool:
        """Whether it failed, and sending it again may help."""
        if isinstance(self.error, SendFailed):
            return not self.error.sender_fault
        if isinstance(self.error, ClientError):
            return may_pass(self.error)
        return self.error is not None


@dataclass(eq=False)
class _SendQueue:
    """Entries that wait to be sent to one queue. While ``busy``, a call is in flight."""

    waiting: deque[Entry] = field(default_factory=deque)
    busy: bool = False


class Sender:
    """Sends messages of many threads to any queue in few calls. Thread-safe."""

    def __init__(self, client: Callable[[str], "SQSClient"]) -> None:
        """``client`` gives the client of a queue URL."""
        self._client = client
        self.reset_after_fork()
        _runtime.reset_after_fork(self)

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, _SendQueue] = {}

    @property
    def waiting(self) -> int:
        """Messages that wait for a call to be made."""
        with self._lock:
            return sum(len(queue.waiting) for queue in self._queues.values())

    def send(self, queue_url: str, body: str, **fields: Any) -> str:
        """Sends one message and returns its id once SQS has acknowledged this very message.

        ``fields`` are further members of a batch entry, such as ``DelaySeconds`` or
        ``MessageAttributes``. Raises :class:`SendFailed` when SQS refused this message,
        botocore's error when the call as a whole failed (it may have been sent all the same),
        and :class:`SendTimeout` after :data:`DEADLINE`.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            entry = Entry.of(body, fields)
            self._pass_through(queue_url, entry)
            error = entry.error
            if error is None:
                return str(entry.message_id)
            hopeless = not isinstance(error, SendFailed) or error.sender_fault
            if hopeless or attempt == MAX_ATTEMPTS:
                raise error
            time.sleep(RETRY_PAUSE * attempt)
        raise AssertionError("unreachable")

    def send_together(self, queue_url: str, entries: Sequence[Entry]) -> None:
        """Sends what fits into one call, in its order; afterwards each entry has its outcome.

        What AWS failed by its own fault, one by one or as a whole, is tried again: then entries
        behind it may be ahead of it, and after a call without an answer it may be there twice.
        """
        waiting = list(entries)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self._call(queue_url, waiting)
            again = [entry for entry in waiting if entry.may_pass]
            if not again or attempt == MAX_ATTEMPTS:
                return
            time.sleep(RETRY_PAUSE * attempt)
            waiting = again
            for entry in waiting:
                entry.error = None

    def _pass_through(self, queue_url: str, entry: Entry) -> None:
        with self._lock:
            queue = self._queues.setdefault(queue_url, _SendQueue())
            queue.waiting.append(entry)
            if not queue.busy:
                queue.busy = entry.leads = True
        if not entry.leads:
            self._wait(queue, entry)
        if entry.leads and not entry.done:
            self._lead(queue_url, queue)

    def _wait(self, queue: _SendQueue, entry: Entry) -> None:
        if entry.wake.wait(DEADLINE):
            return
        with self._lock:
            if entry.leads or entry.done:
                return
            if entry in queue.waiting:
                queue.waiting.remove(entry)
        raise SendTimeout(f"no acknowledgement within {DEADLINE:.0f} s")

    def _lead(self, queue_url: str, queue: _SendQueue) -> None:
        """Makes one call for the head of the queue (the caller is the head), then hands over."""
        with self._lock:
            batch = first_batch(queue.waiting, lambda entry: entry.size)
            for _ in batch:
                queue.waiting.popleft()
        try:
            self._call(queue_url, batch)
        finally:
            with self._lock:
                self._hand_over(queue_url, queue)
            for entry in batch:
                if not entry.done:  # the leader was interrupted, for example by a signal
                    entry.error = SendFailed("Interrupted", "sender ended", sender_fault=False)
                entry.wake.set()

    def _hand_over(self, queue_url: str, queue: _SendQueue) -> None:
        if queue.waiting:
            queue.waiting[0].leads = True
            queue.waiting[0].wake.set()
        else:
            queue.busy = False
            self._queues.pop(queue_url, None)

    def _call(self, queue_url: str, batch: Sequence[Entry]) -> None:
        try:
            response = self._client(queue_url).send_message_batch(
                QueueUrl=queue_url,
                Entries=[
                    {"Id": str(i), "MessageBody": entry.body, **entry.fields}  # type: ignore[typeddict-item]
                    for i, entry in enumerate(batch)
                ],
            )
        except ClientError as error:
            self._refused(queue_url, batch, error)
        except CallFailed as error:
            for entry in batch:
                entry.error = error
        else:
            _settle(batch, response)

    def _refused(self, queue_url: str, batch: Sequence[Entry], error: ClientError) -> None:
        """A call refused as a whole may be one entry's fault: then each goes by itself."""
        if len(batch) > 1 and is_refusal(error):
            for entry in batch:
                self._call(queue_url, [entry])
            return
        for entry in batch:
            entry.error = error


def _size(body: str, fields: Mapping[str, Any]) -> int:
    """Bytes that count for the limit of a call, or a few more."""
    return len(body.encode()) + (len(repr(fields)) if fields else 0)


def _settle(batch: Sequence[Entry], response: "SendMessageBatchResultTypeDef") -> None:
    """Gives each entry its own outcome: a batch call answers 200 with failures inside."""
    for sent in response.get("Successful", ()):
        batch[int(sent["Id"])].message_id = sent["MessageId"]
    for failed in response.get("Failed", ()):
        batch[int(failed["Id"])].error = SendFailed(
            failed["Code"], failed.get("Message", ""), sender_fault=failed["SenderFault"]
        )
    for entry in batch:
        if not entry.done:
            entry.error = SendFailed("NoVerdict", "not in the answer", sender_fault=False)
