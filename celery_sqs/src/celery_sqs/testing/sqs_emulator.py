"""moto's SQS made fit for thousands of messages and dozens of clients at once.

moto 5.2.5 reads the clock through datetime arithmetic twice per message and call, and computes all
attributes of the queue for each message received: a receive at depth 1,000 takes 0.7 s. It has no
lock around receive and delete: a message sent while another is deleted can be lost, and two clients
can be given the same one. It polls once a second for what becomes visible again, and it counts
characters of the body where SQS counts bytes of body and attributes, and refuses a whole batch for
one message that is too long. For each message sent it counts all others up to 15 times. In a FIFO
queue it looks at all messages for a duplicate, and forgets one with its deletion, where SQS
remembers its id for five minutes. All of this is replaced here.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.sqs import models
from moto.sqs.exceptions import InvalidParameterValue

MOST_DELETED = 10_000
"""Receipt handles of deleted messages that are remembered, for those who delete them twice."""
LONGEST_WAIT = 1.0
"""Seconds after which a long poll looks again, whatever it was told."""

_receive_once = models.SQSBackend.receive_message
_change_visibility = models.SQSBackend.change_message_visibility
_send = models.SQSBackend.send_message
_send_batch = models.SQSBackend.send_message_batch


def _milliseconds(_: Any = None) -> float:
    return time.time() * 1000


def _seconds(_: Any = None) -> float:
    return time.time()


class _Thread(threading.local):
    sends = False
    """It asks a queue for its attributes, and looks at one."""


_thread = _Thread()


@contextmanager
def _sending() -> Iterator[None]:
    before, _thread.sends = _thread.sends, True
    try:
        yield
    finally:
        _thread.sends = before


class EmulatedQueue(models.Queue):
    """One pass over the messages per question, and every change under the queue's lock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent_ids: dict[str, float] = {}
        """Milliseconds of the first send, by deduplication id, oldest first."""

    @property
    def attributes(self) -> dict[str, Any]:
        if not _thread.sends:
            return dict(super().attributes)
        by_content = getattr(self, "content_based_deduplication", False)
        return {"ContentBasedDeduplication": str(by_content).lower()}

    def add_message(self, message: models.Message) -> None:
        if not (self.fifo_queue and message.deduplication_id):
            super().add_message(message)
            return
        oldest = _milliseconds() - 1000 * models.DEDUPLICATION_TIME_IN_SECONDS
        with self._messages_lock:
            while self._sent_ids and next(iter(self._sent_ids.values())) < oldest:
                del self._sent_ids[next(iter(self._sent_ids))]
            if message.deduplication_id not in self._sent_ids:
                self._sent_ids[message.deduplication_id] = _milliseconds()
                self._messages.append(message)
                self._messages_lock.notify_all()

    @property
    def messages(self) -> list[models.Message]:
        now = _milliseconds()
        return [m for m in self._messages if m.visible_at < now and m.delayed_until <= now]

    @property
    def approximate_number_of_messages(self) -> int:
        return len(self.messages)

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        now = _milliseconds()
        return sum(m.delayed_until > now for m in self._messages)

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        now = _milliseconds()
        return sum(m.visible_at >= now for m in self._messages)

    def delete_message(self, receipt_handle: str) -> None:
        with self._messages_lock:
            super().delete_message(receipt_handle)
            if len(self.deleted_messages) > MOST_DELETED:  # moto keeps every handle for ever
                self.deleted_messages.clear()

    def wait(self, seconds: float) -> None:
        """Waits, holding the lock, until a message is sent or becomes visible, at most so long."""
        now = _milliseconds()
        due = (max(m.visible_at, m.delayed_until) - now for m in self._messages)
        soonest = min(due, default=seconds * 1000) / 1000 + 0.001
        self._messages_lock.wait(max(0.001, min(seconds, soonest, LONGEST_WAIT)))


def _receive(
    backend: models.SQSBackend,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[models.Message]:
    queue = backend.get_queue(queue_name)
    deadline = time.monotonic() + int(wait_seconds_timeout)
    while True:
        with queue._messages_lock:
            found: list[models.Message] = _receive_once(
                backend, queue_name, count, 0, visibility_timeout, message_attribute_names
            )
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            queue.wait(left)


def _change(
    backend: models.SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
) -> None:
    queue = backend.get_queue(queue_name)
    with queue._messages_lock:
        _change_visibility(backend, queue_name, receipt_handle, visibility_timeout)
        queue._messages_lock.notify_all()


def _within_retention(backend: models.SQSBackend, queue_name: str, message: models.Message) -> bool:
    retention = int(backend.get_queue(queue_name).message_retention_period)
    return message.sent_timestamp is None or message.sent_timestamp / 1000 + retention > time.time()


def _size(body: str, attributes: dict[str, Any] | None) -> int:
    """Bytes as SQS counts them: the body and each attribute's name, type and value."""
    size = len(body.encode())
    for name, attribute in (attributes or {}).items():
        value = attribute.get("StringValue") or attribute.get("BinaryValue") or b""
        value_bytes = value.encode() if isinstance(value, str) else value
        size += len(name.encode()) + len(attribute["DataType"].encode()) + len(value_bytes)
    return size


def _send_checked(
    backend: models.SQSBackend,
    queue_name: str,
    message_body: str,
    message_attributes: dict[str, Any] | None = None,
    *rest: Any,
    **named: Any,
) -> models.Message:
    limit = int(backend.get_queue(queue_name).maximum_message_size)
    if _size(message_body, message_attributes) > limit:
        raise InvalidParameterValue(_too_long(limit))
    with _sending():
        return _send(backend, queue_name, message_body, message_attributes, *rest, **named)


def _send_batch_checked(
    backend: models.SQSBackend, queue_name: str, entries: dict[str, dict[str, Any]]
) -> tuple[list[models.Message], list[dict[str, Any]]]:
    limit = int(backend.get_queue(queue_name).maximum_message_size)
    fitting, refused = {}, []
    for index, entry in entries.items():
        if _size(entry["MessageBody"], entry["MessageAttributes"]) <= limit:
            fitting[index] = entry
            continue
        fault = {"Code": "InvalidParameterValue", "Message": _too_long(limit)}
        refused.append({"Id": entry["Id"], "SenderFault": True, **fault})
    with _sending():
        sent, failed = _send_batch(backend, queue_name, fitting)
    return sent, failed + refused


def _too_long(limit: int) -> str:
    return (
        f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
    )


def install() -> None:
    """Puts all of this in the place of moto's own, before its server starts."""
    models.unix_time_millis = _milliseconds
    models.unix_time = _seconds
    models.Queue = EmulatedQueue
    models.SQSBackend.receive_message = _receive
    models.SQSBackend.change_message_visibility = _change
    models.SQSBackend.is_message_valid_based_on_retention_period = _within_retention
    models.SQSBackend.send_message = _send_checked
    models.SQSBackend.send_message_batch = _send_batch_checked
