"""The answers of this process: who waits for what, and the thread that receives them."""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from celery.exceptions import TimeoutError as CeleryTimeoutError

from celery_sqs._aws.client import CallFailed, is_no_such_queue
from celery_sqs._aws.queues import MAX_BATCH, MAX_WAIT, RENEW_AFTER
from celery_sqs._broker.acknowledgements import Acknowledger
from celery_sqs._results.response_queue import ResponseQueue
from celery_sqs.errors import ResponseQueueLost

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

logger = logging.getLogger(__name__)

MAX_UNAWAITED = 10_000
"""Slots kept, answered or not, that nobody waits at; beyond it the oldest go."""
MAX_REMEMBERED = 10_000
"""Closed slots remembered, to tell a late or duplicate answer from a foreign one."""
LINGER, PATIENCE = 3.0, 10.0
"""Seconds a received answer may wait for its deletion, far below the queue's visibility, and until
a deletion that fails is given up: the answer then comes again and is dropped as a duplicate."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between failed polls, doubling."""
GATHER_FROM, GATHER_EACH, GATHER_MOST = 1, 0.012, 0.1
"""With more than so many threads waiting, seconds to pause after a poll, for each of them and at
most: in a burst, answers then come several in a call."""
STALE_POLL = 60.0
"""Seconds without a completed poll after which the consumer calls itself unhealthy."""


@dataclass(frozen=True)
class ConsumerHealth:
    """How the consumer of this process does."""

    queue: str
    """Name of the response queue; empty before the first task was sent."""
    receiving: bool
    """Whether the receiver thread is alive."""
    poll_age: float | None
    """Seconds since a poll was last completed; none before the first."""
    waiting: int
    """Threads that wait for an answer."""
    expected: int
    """Answers that may still come."""
    counters: Mapping[str, int]
    """``received``, ``delivered``, ``late``, ``duplicate``, ``foreign``, ``unreadable``,
    ``polls``, ``failed_polls``, ``lost_queues``, ``deleted``, ``not_deleted``, ``delete_calls``."""

    @property
    def ok(self) -> bool:
        """False when answers are expected but not received."""
        if not self.queue:
            return True
        return self.receiving and self.poll_age is not None and self.poll_age < STALE_POLL


@dataclass(eq=False)
class PendingResult:
    """A place where one answer will lie."""

    arrived: threading.Event = field(default_factory=threading.Event)
    answer: str | None = None
    lost: bool = False
    waiting: int = 0


class ResultConsumer:
    """Answers by task id. Any number of threads may wait; one thread receives for all of them.

    An answer is the task id, a newline and the encoded result. The thread starts with the first
    slot, backs off when AWS fails and never ends before :meth:`close`; a queue that was deleted
    is replaced by one with a new name.
    """

    def __init__(
        self, client: Callable[[], "SQSClient"], address: ResponseQueue, wait: int = MAX_WAIT
    ) -> None:
        """``wait``: seconds of a long poll."""
        self._client = client
        self._wait_seconds = wait
        self._address = address
        self._acknowledger = Acknowledger(
            client, linger=LINGER, patience=PATIENCE, name="sqs-answers-deleter"
        )
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._slots: OrderedDict[str, PendingResult] = OrderedDict()
        self._closed_slots: OrderedDict[str, str] = OrderedDict()
        self._counters: Counter[str] = Counter()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._last_poll: float | None = None
        self._renewed = 0.0

    @property
    def queue(self) -> str:
        """Name of the queue answers must be sent to; starts the receiver if it does not run."""
        self.start()
        return self._address.name

    def start(self) -> None:
        """Finds the queue and starts the receiver; does nothing when it runs. Calls AWS."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            if not self._address.name:
                self._address.open()
            self._renewed = self._last_poll = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="sqs-answers", daemon=True)
            self._thread.start()

    def open(self, task_id: str) -> None:
        """Opens the slot of a task. To be called before the task is sent."""
        self.start()
        with self._lock:
            slot = self._slots.get(task_id)
            if slot is not None and slot.lost:
                del self._slots[task_id]
            self._slot(task_id)
            self._evict()

    def is_open(self, task_id: str) -> bool:
        """Whether an answer of this task would be kept."""
        with self._lock:
            return task_id in self._slots

    def peek(self, task_id: str) -> str | None:
        """The answer if it has arrived."""
        with self._lock:
            slot = self._slots.get(task_id)
            return slot.answer if slot else None

    def wait(
        self,
        task_id: str,
        timeout: float | None,
        *,
        interval: float | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> str:
        """Waits for the answer of a task; ``on_interval`` is called every ``interval`` seconds.

        Raises :class:`celery.exceptions.TimeoutError` after ``timeout`` seconds and its subclass
        :class:`ResponseQueueLost` at once when no answer can come any more.
        """
        self.start()
        with self._lock:
            slot = self._slot(task_id)
            slot.waiting += 1
            self._waiting += 1
        try:
            arrived = _wait(slot.arrived, timeout, interval, on_interval)
        finally:
            with self._lock:
                slot.waiting -= 1
                self._waiting -= 1
        if slot.answer is not None:
            return slot.answer
        if arrived:
            raise ResponseQueueLost(f"the response queue of task {task_id} was deleted")
        raise CeleryTimeoutError(f"no answer of task {task_id} within {timeout} s")

    def forget(self, task_id: str) -> None:
        """Closes the slot: an answer that comes now is dropped as late, or as a duplicate."""
        with self._lock:
            self._close_slot(task_id)

    def health(self) -> ConsumerHealth:
        """How the consumer does at this moment."""
        last = self._last_poll
        with self._lock:
            counters = dict(self._counters)
            expected = sum(slot.answer is None for slot in self._slots.values())
        counters.update(self._acknowledger.counts())
        return ConsumerHealth(
            queue=self._address.name,
            receiving=self._thread is not None and self._thread.is_alive(),
            poll_age=None if last is None else time.monotonic() - last,
            waiting=self._waiting,
            expected=expected,
            counters=counters,
        )

    def close(self) -> None:
        """Stops receiving, flushes the deletions and frees the queue's name. For process exit."""
        self._closing.set()
        if self._thread is None:
            self._address.abandon()
            return
        self._acknowledger.flush()
        try:
            self._address.close()
        except CallFailed as error:
            logger.warning("response queue %s not released: %s", self._address.name, error)

    def abandon(self) -> None:
        """In a forked child: lets go of everything that is the parent's."""
        self._address.abandon()

    # Slots; the lock is held

    def _slot(self, task_id: str) -> PendingResult:
        self._closed_slots.pop(task_id, None)
        return self._slots.setdefault(task_id, PendingResult())

    def _close_slot(self, task_id: str) -> None:
        slot = self._slots.pop(task_id, None)
        if slot is None:
            return
        self._closed_slots[task_id] = "late" if slot.answer is None else "duplicate"
        while len(self._closed_slots) > MAX_REMEMBERED:
            self._closed_slots.popitem(last=False)

    def _evict(self) -> None:
        """A client that never fetches its results must not grow for ever."""
        if len(self._slots) <= MAX_UNAWAITED:
            return
        oldest = next((id_ for id_, slot in self._slots.items() if not slot.waiting), None)
        if oldest is not None:
            self._close_slot(oldest)

    # The receiver thread

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            try:
                self._step()
                pause = FIRST_PAUSE
            # A receiver that dies hangs everybody who waits, so nothing may end it.
            except Exception as error:  # noqa: BLE001
                self._note_failure(error)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

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
        if messages and self._waiting > GATHER_FROM:
            self._closing.wait(self._gather_time(full=len(messages) == MAX_BATCH))
        if self._last_poll - self._renewed > RENEW_AFTER:
            self._renewed = self._last_poll
            self._address.renew()

    def _gather_time(self, *, full: bool) -> float:
        """After a poll that was full there are more answers already: a third will do."""
        pause = min(GATHER_MOST, GATHER_EACH * self._waiting)
        return pause / 3 if full else pause

    def _receive(self) -> "list[MessageTypeDef]":
        response = self._client().receive_message(
            QueueUrl=self._address.url,
            MaxNumberOfMessages=MAX_BATCH,
            WaitTimeSeconds=self._wait_seconds,
        )
        with self._lock:
            self._counters["polls"] += 1
        return response.get("Messages", [])

    def _take(self, message: "MessageTypeDef") -> None:
        """Puts an answer into its slot, or drops what nobody here waits for; both are deleted."""
        task_id, newline, answer = message["Body"].partition("\n")
        with self._lock:
            kind = self._deliver(task_id, answer) if newline else "unreadable"
            self._counters["received"] += 1
            self._counters[kind] += 1
        if kind in ("foreign", "unreadable"):  # by its id alone: an answer may be confidential
            logger.warning("%s answer dropped: %.80r", kind, task_id if newline else "")
        self._acknowledger.delete(self._address.url, message["ReceiptHandle"])

    def _deliver(self, task_id: str, answer: str) -> str:
        slot = self._slots.get(task_id)
        if slot is None:
            return self._closed_slots.get(task_id, "foreign")
        if slot.answer is not None:
            return "duplicate"
        slot.answer = answer
        slot.arrived.set()
        return "delivered"

    def _replace_queue(self) -> None:
        """The queue was deleted: whoever waits for it is told, whoever comes gets a new one."""
        lost = self._address.name
        self._address.move()
        with self._lock:
            self._counters["lost_queues"] += 1
            for slot in self._slots.values():
                slot.lost = True
                slot.arrived.set()
        logger.error("response queue %s is gone; going on with %s", lost, self._address.name)

    def _note_failure(self, error: Exception) -> None:
        if self._closing.is_set():
            return
        with self._lock:
            self._counters["failed_polls"] += 1
        if isinstance(error, CallFailed):
            logger.warning("polling %s failed: %s", self._address.name, error)
        else:
            logger.error("polling %s failed", self._address.name, exc_info=error)


def _wait(
    event: threading.Event,
    timeout: float | None,
    interval: float | None,
    on_interval: Callable[[], object] | None,
) -> bool:
    if on_interval is None or not interval:
        return event.wait(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = interval if deadline is None else deadline - time.monotonic()
        if event.wait(max(0.0, min(interval, left))):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
        on_interval()
