"""Tasks gathered into batch calls, several of them in flight.

Between :func:`celery_sqs.bulk`'s begin and end, what its thread publishes waits until ten messages
or the bytes of one call have gathered. Calls for standard queues go side by side, those for a FIFO
queue one after the other.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger

from celery_sqs import _runtime
from celery_sqs._aws.batching import first_batch
from celery_sqs._aws.client import is_no_such_queue
from celery_sqs._aws.queues import MAX_BATCH, MAX_BATCH_BYTES
from celery_sqs._aws.sender import Entry
from celery_sqs._broker.translation import translate_errors
from celery_sqs._results.pending import PendingResults
from celery_sqs.errors import BulkSendFailed, EtaTooLate, MessageTooLarge, UnsupportedBySQS

if TYPE_CHECKING:
    from celery import Celery

    from celery_sqs._session import Session

logger = get_logger(__name__)

CALLS_IN_FLIGHT = 8
MAX_UNDER_WAY = 16
"""Batches that wait for a call or are in flight; beyond it, publishing blocks."""


@dataclass(frozen=True)
class Prepared:
    """A message ready to be sent."""

    text: str
    fields: Mapping[str, Any]
    """Further members of a batch entry, such as ``DelaySeconds``."""
    upload: Callable[[], None] | None = None
    """Puts the body that it stands for where it belongs; to be called before it is sent."""


@dataclass(eq=False)
class _Message:
    task_id: str
    entry: Entry
    uploaded: "Future[None] | None" = None


@dataclass(eq=False)
class _BulkQueue:
    """Messages to one queue."""

    url: str
    forget: Callable[[], object]
    """To be called when the queue does not exist any more."""
    gathered: list[_Message] = field(default_factory=list)
    size: int = 0
    line: deque[list[_Message]] = field(default_factory=deque)
    """Of a FIFO queue: batches that wait for the one that is in flight."""
    busy: bool = False


class Bulk:
    """What one thread has published and what became of it."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.sent = 0
        """Messages SQS has acknowledged so far."""
        self.failed: dict[str, Exception] = {}
        """Why messages were not sent, by task id."""
        self._owner = (os.getpid(), threading.get_ident())
        self._queues: dict[str, _BulkQueue] = {}
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_UNDER_WAY)
        self._calls = ThreadPoolExecutor(CALLS_IN_FLIGHT, "sqs-bulk")
        self._uploads = ThreadPoolExecutor(CALLS_IN_FLIGHT, "sqs-bulk-uploads")
        self._open = True

    def is_mine(self) -> bool:
        """Whether it is open and the calling thread's, and not a forked parent's."""
        return self._open and self._owner == (os.getpid(), threading.get_ident())

    @contextmanager
    def noting(self, task_id: str) -> Iterator[None]:
        """Notes what is wrong with one message and goes on."""
        try:
            yield
        except (EtaTooLate, MessageTooLarge, UnsupportedBySQS) as error:
            self._note(task_id, error)

    def add(self, task_id: str, url: str, prepared: Prepared, forget: Callable[[], object]) -> None:
        """Gathers a message; blocks while too many wait."""
        queue = self._queues.setdefault(url, _BulkQueue(url, forget))
        entry = Entry.of(prepared.text, prepared.fields)
        uploaded = self._uploads.submit(prepared.upload) if prepared.upload else None
        queue.gathered.append(_Message(task_id, entry, uploaded))
        queue.size += entry.size
        while len(queue.gathered) >= MAX_BATCH or queue.size > MAX_BATCH_BYTES:
            self._dispatch(queue)

    def flush(self) -> None:
        """Has what was gathered sent, without waiting for it."""
        for queue in self._queues.values():
            while queue.gathered:
                self._dispatch(queue)

    def close(self) -> None:
        """Sends the rest and waits for every acknowledgement. Results of the others never come."""
        self.flush()
        self._open = False
        self._calls.shutdown()
        self._uploads.shutdown()
        for results in _runtime.all_of(PendingResults):
            for task_id in self.failed:
                results.forget(task_id)

    def _dispatch(self, queue: _BulkQueue) -> None:
        batch = first_batch(queue.gathered, lambda message: message.entry.size)
        del queue.gathered[: len(batch)]
        queue.size -= sum(message.entry.size for message in batch)
        self._room.acquire()
        if not queue.url.endswith(".fifo"):
            self._calls.submit(self._send, queue, batch)
            return
        with self._lock:
            queue.line.append(batch)
            if queue.busy:
                return
            queue.busy = True
        self._calls.submit(self._send_line, queue)

    # In the threads of the pool

    def _send_line(self, queue: _BulkQueue) -> None:
        while True:
            with self._lock:
                if not queue.line:
                    queue.busy = False
                    return
                batch = queue.line.popleft()
            self._send(queue, batch)

    def _send(self, queue: _BulkQueue, batch: Sequence[_Message]) -> None:
        try:
            ready = [message for message in batch if self._is_uploaded(message)]
            self.session.sender.send_together(queue.url, [message.entry for message in ready])
            for message in ready:
                self._settle(queue, message)
        except Exception as error:  # a defect of ours; none of them is known to be sent
            logger.exception("a batch of %d tasks failed", len(batch))
            for message in batch:
                self._note(message.task_id, error)
        finally:
            self._room.release()

    def _is_uploaded(self, message: _Message) -> bool:
        error = message.uploaded.exception() if message.uploaded else None
        if error is not None:
            self._note(message.task_id, error)
        return error is None

    def _settle(self, queue: _BulkQueue, message: _Message) -> None:
        error = message.entry.error
        if error is None:
            with self._lock:
                self.sent += 1
            return
        if is_no_such_queue(error):
            queue.forget()
        self._note(message.task_id, error)

    def _note(self, task_id: str, error: BaseException) -> None:
        try:
            with translate_errors():
                raise error
        except Exception as translated:  # noqa: BLE001 - it is raised at the end of the block
            with self._lock:
                self.failed[task_id] = translated


_current: ContextVar[Bulk | None] = ContextVar("celery_sqs_bulk", default=None)


def current_bulk(session: "Session") -> Bulk | None:
    """The calling thread's open block for this session."""
    batch = _current.get()
    return batch if batch is not None and batch.session is session and batch.is_mine() else None


def flush_bulk() -> None:
    """Has what the calling thread has gathered sent: it is about to wait for a result."""
    batch = _current.get()
    if batch is not None and batch.is_mine():
        batch.flush()


@contextmanager
def bulk(app: "Celery") -> Iterator[None]:
    """Gathers the tasks that this thread publishes: ten to a call, several calls in flight.

    ::

        with celery_sqs.bulk(app):
            results = [task.delay(n) for n in range(1000)]

    At its end every task is acknowledged by SQS, or :class:`.errors.BulkSendFailed` names those
    that are not, and why. An exception inside does not unsend what was published before: that is
    sent, and what was not is noted on the exception. Waiting for a result sends what was gathered.
    Blocks inside a block are one with it, and on other brokers tasks are sent as always. Other
    threads, and other tasks of asyncio, are not affected.
    """
    session = _session_of(app)
    if session is None or current_bulk(session) is not None:
        yield
        return
    batch = Bulk(session)
    token = _current.set(batch)
    try:
        yield
    except BaseException as error:
        batch.close()
        for task_id, failure in batch.failed.items():
            error.add_note(f"not sent: task {task_id}: {failure!r}")
        raise
    finally:
        batch.close()
        _current.reset(token)
    if batch.failed:
        raise BulkSendFailed(batch.failed, batch.sent)


def _session_of(app: "Celery") -> "Session | None":
    with app.producer_or_acquire() as producer:
        return getattr(producer.connection.transport, "session", None)
