"""Sends that batch themselves: what gathers while one call is in flight goes with the next.

No timer and no thread of its own. A sender that finds no call in flight makes one at once; those
who come meanwhile wait, and the first of them takes everybody who fits into the next call. Alone,
nobody waits for anybody; under load, the batches grow by themselves.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from celery_sqs._aws.client import CallFailed, is_refusal
from celery_sqs._aws.queues import MAX_BATCH, MAX_BATCH_BYTES
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

_senders: "weakref.WeakSet[Sender]" = weakref.WeakSet()


def _after_fork() -> None:
    for sender in tuple(_senders):
        sender._reset()


os.register_at_fork(after_in_child=_after_fork)


@dataclass(eq=False)
class _Entry:
    """One message on its way. ``wake`` is set when it has an outcome or its thread must lead."""

    body: str
    fields: Mapping[str, Any]
    size: int
    wake: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    message_id: str | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.message_id is not None or self.error is not None


@dataclass(eq=False)
class _Line:
    """Those who wait to send to one queue. While ``busy``, somebody's call is in flight."""

    waiting: deque[_Entry] = field(default_factory=deque)
    busy: bool = False


class Sender:
    """Sends messages of many threads to any queue with as few calls as their speed allows."""

    def __init__(self, client: Callable[[], "SQSClient"]) -> None:
        self._client = client
        self._reset()
        _senders.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self.calls = 0
        """Batch calls made so far, without the SDK's own repetitions."""

    def send(self, queue_url: str, body: str, **fields: Any) -> str:
        """Sends one message and returns its id once SQS has acknowledged this very message.

        ``fields`` are further members of a batch entry, such as ``DelaySeconds`` or
        ``MessageAttributes``. Raises :class:`SendFailed` when SQS refused this message,
        botocore's error when the call as a whole failed (it may have been sent all the same),
        and :class:`SendTimeout` after :data:`DEADLINE`.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            entry = _Entry(body, fields, _size(body, fields))
            self._pass_through(queue_url, entry)
            error = entry.error
            if error is None:
                return str(entry.message_id)
            hopeless = not isinstance(error, SendFailed) or error.sender_fault
            if hopeless or attempt == MAX_ATTEMPTS:
                raise error
            time.sleep(RETRY_PAUSE * attempt)
        raise AssertionError("unreachable")

    def _pass_through(self, queue_url: str, entry: _Entry) -> None:
        with self._lock:
            line = self._lines.setdefault(queue_url, _Line())
            line.waiting.append(entry)
            if not line.busy:
                line.busy = entry.leads = True
        if not entry.leads:
            self._wait(line, entry)
        if entry.leads and not entry.done:
            self._lead(queue_url, line)

    def _wait(self, line: _Line, entry: _Entry) -> None:
        if entry.wake.wait(DEADLINE):
            return
        with self._lock:
            if entry.leads or entry.done:
                return
            if entry in line.waiting:
                line.waiting.remove(entry)
        raise SendTimeout(f"no acknowledgement within {DEADLINE:.0f} s")

    def _lead(self, queue_url: str, line: _Line) -> None:
        """Makes one call for the head of the line (the caller is the head), then hands over."""
        with self._lock:
            batch = _fitting(line.waiting)
            for _ in batch:
                line.waiting.popleft()
        try:
            self._call(queue_url, batch)
        finally:
            with self._lock:
                self._hand_over(queue_url, line)
            for entry in batch:
                if not entry.done:  # the leader was interrupted, for example by a signal
                    entry.error = SendFailed("Interrupted", "sender ended", sender_fault=False)
                entry.wake.set()

    def _hand_over(self, queue_url: str, line: _Line) -> None:
        if line.waiting:
            line.waiting[0].leads = True
            line.waiting[0].wake.set()
        else:
            line.busy = False
            self._lines.pop(queue_url, None)

    def _call(self, queue_url: str, batch: Sequence[_Entry]) -> None:
        self.calls += 1
        try:
            response = self._client().send_message_batch(
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

    def _refused(self, queue_url: str, batch: Sequence[_Entry], error: ClientError) -> None:
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


def _fitting(waiting: deque[_Entry]) -> list[_Entry]:
    """The head of the line, at most ten, as far as they fit into one call; at least one."""
    batch: list[_Entry] = []
    total = 0
    for entry in islice(waiting, MAX_BATCH):
        total += entry.size
        if batch and total > MAX_BATCH_BYTES:
            break
        batch.append(entry)
    return batch


def _settle(batch: Sequence[_Entry], response: "SendMessageBatchResultTypeDef") -> None:
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
