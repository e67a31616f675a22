"""Deletes messages ten at a time, from a thread of its own."""

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facerec_tasks.sqs.client import CallFailed, is_no_such_queue
from facerec_tasks.sqs.queues import MAX_BATCH

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import BatchResultErrorEntryTypeDef

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
RETRY_PAUSE = 1.0

_deleters: "weakref.WeakSet[Deleter]" = weakref.WeakSet()


def _after_fork() -> None:
    for deleter in tuple(_deleters):
        deleter._reset()


os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class _Receipt:
    queue_url: str
    handle: str
    due: float
    """Monotonic time at which it goes, batch full or not."""
    attempts: int = 0


class Deleter:
    """Gathers receipt handles and deletes them in batches; whoever hands one over never waits.

    A batch goes when ten messages of one queue are gathered or the oldest has waited ``linger``
    seconds; keep that far below the queue's visibility timeout. A message that could not be
    deleted comes back once its visibility ends: the caller must bear a second delivery anyway.
    Thread-safe. A forked child starts empty: what the parent gathered stays the parent's.
    """

    def __init__(
        self, client: Callable[[], "SQSClient"], *, linger: float, name: str = "sqs-deleter"
    ) -> None:
        self._client = client
        self._linger = linger
        self._name = name
        self._reset()
        _deleters.add(self)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._pending: deque[_Receipt] = deque()
        self._busy = False
        self._flushing = 0
        self._thread: threading.Thread | None = None
        self.deleted = 0
        self.failed = 0
        self.calls = 0

    def add(self, queue_url: str, handle: str) -> None:
        """Has the message deleted soon."""
        with self._changed:
            self._pending.append(_Receipt(queue_url, handle, time.monotonic() + self._linger))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif len(self._pending) in (1, MAX_BATCH):
                self._changed.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until all that was handed over is deleted or given up; false when time ran out."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._pending and not self._busy, timeout)
            finally:
                self._flushing -= 1

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            try:
                again = self._delete(batch)
            except Exception:  # the thread must outlive whatever a call can raise
                logger.exception("deleting %d messages failed", len(batch))
                again = []
                self.failed += len(batch)
            if again:
                time.sleep(RETRY_PAUSE)
            with self._changed:
                self._pending.extendleft(reversed(again))
                self._busy = False
                self._changed.notify_all()

    def _next_batch(self) -> list[_Receipt]:
        with self._changed:
            while not self._is_due():
                self._changed.wait(self._pause())
            url = self._pending[0].queue_url
            batch = [r for r in self._pending if r.queue_url == url][:MAX_BATCH]
            chosen = set(map(id, batch))
            self._pending = deque(r for r in self._pending if id(r) not in chosen)
            self._busy = True
            return batch

    def _is_due(self) -> bool:
        if not self._pending:
            return False
        if self._flushing or self._pending[0].due <= time.monotonic():
            return True
        return len(self._pending) >= MAX_BATCH

    def _pause(self) -> float | None:
        return max(0.0, self._pending[0].due - time.monotonic()) if self._pending else None

    def _delete(self, batch: list[_Receipt]) -> list[_Receipt]:
        """Deletes a batch; returns what to try again."""
        self.calls += 1
        try:
            response = self._client().delete_message_batch(
                QueueUrl=batch[0].queue_url,
                Entries=[{"Id": str(i), "ReceiptHandle": r.handle} for i, r in enumerate(batch)],
            )
        except CallFailed as error:
            if is_no_such_queue(error):  # they went with their queue
                return []
            logger.warning("deleting %d messages failed: %s", len(batch), error)
            return self._again(batch)
        refused = {int(entry["Id"]): _may_pass(entry) for entry in response.get("Failed", ())}
        self.deleted += len(batch) - len(refused)
        self._give_up([batch[i] for i, may_pass in refused.items() if not may_pass])
        return self._again([batch[i] for i, may_pass in refused.items() if may_pass])

    def _again(self, receipts: list[_Receipt]) -> list[_Receipt]:
        tried = [
            _Receipt(r.queue_url, r.handle, time.monotonic(), r.attempts + 1) for r in receipts
        ]
        self._give_up([r for r in tried if r.attempts >= MAX_ATTEMPTS])
        return [r for r in tried if r.attempts < MAX_ATTEMPTS]

    def _give_up(self, receipts: list[_Receipt]) -> None:
        if receipts:
            self.failed += len(receipts)
            logger.warning("%d messages not deleted; they will come again", len(receipts))


def _may_pass(entry: "BatchResultErrorEntryTypeDef") -> bool:
    """An expired or foreign receipt handle never will; an internal error may."""
    return not entry.get("SenderFault", False)
