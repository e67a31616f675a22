"""The thread that receives the results of this process's tasks."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_sqs import _runtime
from celery_sqs._aws.client import CallFailed, is_no_such_queue
from celery_sqs._aws.queues import MAX_BATCH, MAX_WAIT, RENEW_AFTER
from celery_sqs._broker.acknowledgements import Acknowledger
from celery_sqs._results.pending import PendingResults
from celery_sqs._results.response_queue import ResponseQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

logger = logging.getLogger(__name__)

LINGER_SECONDS = 3.0
"""A received result may wait for its deletion, far below the queue's visibility timeout."""
DELETE_TIMEOUT = 10.0
"""Seconds until a deletion that fails is given up: the result then comes again as a duplicate."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 5.0
"""Between failed polls, doubling."""
GATHER_FROM, GATHER_EACH, GATHER_MOST = 1, 0.012, 0.1
"""With more threads waiting than this, seconds to pause after a poll, for each of them and at
most: in a burst, results then come several in a call."""
UNWANTED_SECONDS = 0.02
"""After a poll, when no thread waits for a result any more, at most until the next one: it begins
when a thread waits. Only one thread of a process runs at a time, and preparing the poll would hold
up the thread that has its result and may send the next task."""
STALE_SECONDS = 60.0
"""Without a completed poll, after which the consumer calls itself unhealthy."""


@dataclass(frozen=True)
class ConsumerHealth:
    """How the result consumer of this process does."""

    queue: str
    """Name of the response queue; empty before the first task was sent."""
    receiving: bool
    """Whether the consumer's thread is alive."""
    poll_age: float | None
    """Seconds since a poll was last completed; None before the first."""
    waiting: int
    """Threads that wait for a result."""
    expected: int
    """Results that may still come."""
    counters: Mapping[str, int]
    """``received``, ``delivered``, ``late``, ``duplicate``, ``foreign``, ``unreadable``,
    ``polls``, ``failed_polls``, ``lost_queues``, ``deleted``, ``not_deleted``, ``delete_calls``."""

    @property
    def ok(self) -> bool:
        """False when results are expected but not received."""
        if not self.queue:
            return True
        return self.receiving and self.poll_age is not None and self.poll_age < STALE_SECONDS


class ResultConsumer(PendingResults):
    """Receives results for all threads of this process that wait for one.

    A message is the task id, a newline and the encoded result. The thread starts with the first
    pending result, backs off when AWS fails and never ends before :meth:`close_at_exit`; a queue
    that was deleted is replaced by one with a new name.
    """

    def __init__(
        self, client: Callable[[], "SQSClient"], queue: ResponseQueue, wait: int = MAX_WAIT
    ) -> None:
        """``wait``: seconds of a long poll."""
        super().__init__()
        self._client = client
        self._wait_seconds = wait
        self._queue = queue
        self._acknowledger = Acknowledger(
            lambda url: client(),
            linger=LINGER_SECONDS,
            retry_timeout=DELETE_TIMEOUT,
            name="sqs-result-deleter",
        )
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._counters: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._last_poll: float | None = None
        self._renewed = 0.0

    @property
    def queue(self) -> str:
        """Name of the queue results must be sent to; starts the thread if it does not run."""
        self.start()
        return self._queue.name

    def start(self) -> None:
        """Finds the queue and starts receiving; does nothing when it runs. Calls AWS."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            if not self._queue.name:
                self._queue.open()
            self._renewed = self._last_poll = time.monotonic()
            self._thread = _runtime.start_thread(self._run, "sqs-results")

    def open(self, task_id: str) -> None:
        """A result is expected from now on. To be called before the task is sent."""
        self.start()
        super().open(task_id)

    def health(self) -> ConsumerHealth:
        """How the consumer does at this moment."""
        last = self._last_poll
        return ConsumerHealth(
            queue=self._queue.name,
            receiving=self._thread is not None and self._thread.is_alive(),
            poll_age=None if last is None else time.monotonic() - last,
            waiting=self.waiting,
            expected=self.expected,
            counters={**self._counters, **self._acknowledger.counts()},
        )

    def close_at_exit(self) -> None:
        """Stops receiving, flushes the deletions and frees the queue's name."""
        self._closing.set()
        if self._thread is None:
            self._queue.abandon()
            return
        self._acknowledger.flush()
        try:
            self._queue.close()
        except CallFailed as error:
            logger.warning("response queue %s not released: %s", self._queue.name, error)

    def abandon(self) -> None:
        """In a forked child: lets go of everything that is the parent's."""
        self._queue.abandon()

    # The thread

    def _run(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while not self._closing.is_set():
            try:
                self._step()
                pause = FIRST_RETRY_SECONDS
            # A consumer that dies hangs every waiter, so nothing may end it.
            except Exception as error:  # noqa: BLE001
                self._note_failure(error)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_RETRY_SECONDS)

    def _step(self) -> None:
        """One poll and, once in a while, the renewal of the tag."""
        try:
            messages = self._receive()
        except CallFailed as error:
            if not is_no_such_queue(error):
                raise
            self._replace_queue()
            return
        self._last_poll = time.monotonic()
        for message in messages:
            self._take(message)
        if messages and self.waiting > GATHER_FROM:
            self._closing.wait(self._gather_seconds(full=len(messages) == MAX_BATCH))
        elif messages:
            self.wait_until_wanted(UNWANTED_SECONDS)
        if self._last_poll - self._renewed > RENEW_AFTER:
            self._renewed = self._last_poll
            self._queue.renew()

    def _gather_seconds(self, *, full: bool) -> float:
        """After a poll that was full there are more results already: a third will do."""
        pause = min(GATHER_MOST, GATHER_EACH * self.waiting)
        return pause / 3 if full else pause

    def _receive(self) -> "list[MessageTypeDef]":
        response = self._client().receive_message(
            QueueUrl=self._queue.url,
            MaxNumberOfMessages=MAX_BATCH,
            WaitTimeSeconds=self._wait_seconds,
        )
        self._counters["polls"] += 1
        return response.get("Messages", [])

    def _take(self, message: "MessageTypeDef") -> None:
        """Delivers a result, or drops what is not expected here; both are deleted."""
        task_id, newline, result = message["Body"].partition("\n")
        kind = self.deliver(task_id, result) if newline else "unreadable"
        self._counters["received"] += 1
        self._counters[kind] += 1
        if kind in ("foreign", "unreadable"):  # by its id alone: a result may be confidential
            logger.warning("%s result dropped: %.80r", kind, task_id if newline else "")
        self._acknowledger.delete(self._queue.url, message["ReceiptHandle"])

    def _replace_queue(self) -> None:
        """The queue was deleted: waiters get an error, later tasks a new queue."""
        lost = self._queue.name
        self._queue.recreate()
        self._counters["lost_queues"] += 1
        self.lose_all()
        logger.error("response queue %s is gone; going on with %s", lost, self._queue.name)

    def _note_failure(self, error: Exception) -> None:
        if self._closing.is_set():
            return
        self._counters["failed_polls"] += 1
        if isinstance(error, CallFailed):
            logger.warning("polling %s failed: %s", self._queue.name, error)
        else:
            logger.error("polling %s failed", self._queue.name, exc_info=error)
