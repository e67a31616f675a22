"""Results of a worker's tasks: gathered by its parent process and sent in batches.

A prefork child that sent its own result would wait for SQS after every task, with one call each.
So the child puts the result beside the outcome it reports to its parent anyway, through the pipe
they share (:func:`capture_results`, called by :mod:`.pool`); the two arrive together or not at all.
The parent (and a worker without children, for itself) hands results to the :class:`ResultSender`,
which sends those of one queue together. A task's message is deleted only after its result was sent
or given up (:meth:`ResultSender.after`). Whatever dies in between, the message is still queued.
"""

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from celery_sqs import _runtime
from celery_sqs._aws.batching import BatchProcessor, failed_entries
from celery_sqs._aws.client import Account, CallFailed, is_no_such_queue, is_refusal, make_client
from celery_sqs._aws.queues import queue_url
from celery_sqs.errors import NoSuchQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

RETRY_TIMEOUT = 60.0
"""Seconds until a result that cannot be sent is given up. Its task has succeeded all the same."""
PART_LINGER = 0.25
"""Seconds the result of a chord's part waits for others to share its call: the body is awaited."""
MAX_REMEMBERED = 2000
"""Deliveries of which it is remembered that their result was sent."""


class Destination(NamedTuple):
    """Where a result goes."""

    account: Account
    queue: str


@dataclass(frozen=True)
class Result:
    """The result of one delivery of a task. Travels between processes."""

    destination: Destination
    task_id: str
    body: str
    receipt: str | None
    """Which delivery, if it is known."""
    linger: float = 0.0
    """Seconds it may wait for others to share its call."""


class ResultSender(BatchProcessor[Destination, Result]):
    """Sends the results of this worker from a thread, those of one queue together. Thread-safe."""

    def __init__(self, retry_timeout: float = RETRY_TIMEOUT) -> None:
        super().__init__(self._send, name="sqs-result-sender", retry_timeout=retry_timeout)
        self.counters: Counter[str] = Counter()
        """``sent`` and ``not_sent``."""
        self._lock = threading.Lock()
        self._urls: dict[Destination, str] = {}
        self._sent: OrderedDict[str, list[Callable[[], None]] | None] = OrderedDict()
        """By delivery: what waits for its result to be sent; None when it was."""

    def send(self, result: Result) -> None:
        """Queues a result. Of several results of one delivery the first counts."""
        size = len(result.body.encode())
        receipt = result.receipt
        if receipt is None:
            self.add(result.destination, result, size=size, linger=result.linger)
            return
        with self._lock:
            if receipt in self._sent:
                return
            self._sent[receipt] = []
        done = partial(self._on_done, receipt)
        self.add(result.destination, result, size=size, linger=result.linger, on_done=done)

    def after(self, receipt: str, call: Callable[[], None]) -> None:
        """Calls ``call`` when the result of this delivery was sent or given up; or now.

        It is not called when the process ends before that: the message stays for another worker.
        """
        with self._lock:
            waiting = self._sent.get(receipt)
            if waiting is not None:
                waiting.append(call)
                return
        call()

    def close_at_exit(self) -> None:
        self.flush()

    def _on_done(self, receipt: str) -> None:
        with self._lock:
            waiting = self._sent.get(receipt) or []
            self._sent[receipt] = None
            while len(self._sent) > MAX_REMEMBERED and next(iter(self._sent.values())) is None:
                self._sent.popitem(last=False)
        for call in waiting:
            call()

    def _send(self, destination: Destination, batch: Sequence[Result]) -> Mapping[int, bool]:
        client = make_client("sqs", destination.account, attempts=1)
        try:
            answer = client.send_message_batch(
                QueueUrl=self._url(client, destination),
                Entries=[{"Id": str(n), "MessageBody": each.body} for n, each in enumerate(batch)],
            )
        except NoSuchQueue as error:
            return self._refused(batch, repr(error))
        except CallFailed as error:
            if not is_no_such_queue(error) and not (is_refusal(error) and len(batch) == 1):
                raise
            self._urls.pop(destination, None)
            return self._refused(batch, str(error))
        failed = failed_entries(answer)
        self.counters["sent"] += len(batch) - len(failed)
        for index, may_pass in failed.items():
            if not may_pass:
                self._log(batch[index], str(answer["Failed"]))
        return failed

    def _url(self, client: "SQSClient", destination: Destination) -> str:
        if destination not in self._urls:
            self._urls[destination] = queue_url(client, destination.queue)
        return self._urls[destination]

    def _refused(self, batch: Sequence[Result], reason: str) -> Mapping[int, bool]:
        for result in batch:
            self._log(result, reason)
        return dict.fromkeys(range(len(batch)), False)

    def _log(self, result: Result, reason: str) -> None:
        self.counters["not_sent"] += 1
        logger.error(
            "result of task %s to %s not sent: %s", result.task_id, result.destination.queue, reason
        )


# The result sender of a worker's parent process, and what its children capture


class _Captured(threading.local):
    results: list[Result] | None = None
    """While a task of this thread runs whose caller takes the results."""


_captured = _Captured()


def start_result_sender() -> None:
    """From now on the results of this process's tasks are sent by a thread. For workers."""
    _runtime.shared(ResultSender, ResultSender)


def get_result_sender() -> ResultSender | None:
    """This worker's own; None in other processes, its children among them."""
    found: ResultSender | None = _runtime.existing(ResultSender)
    return found


def enqueue(result: Result) -> bool:
    """Leaves a result to what sends it; false when there is nothing and the caller must."""
    sender = get_result_sender()
    if _captured.results is not None:
        _captured.results.append(result)
    elif sender is not None:
        sender.send(result)
    else:
        return False
    return True


def after_result(receipt: str, call: Callable[[], None]) -> None:
    """Calls ``call`` when the result of this delivery was sent or given up, or now."""
    sender = get_result_sender()
    if sender is None:
        call()
    else:
        sender.after(receipt, call)


def flush_results() -> None:
    """Sends what this worker has not sent yet, in the caller's thread."""
    sender = get_result_sender()
    if sender is not None:
        sender.flush()


def is_captured() -> bool:
    """Whether this is a child that runs a task."""
    return _captured.results is not None


def capture_results(
    target: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[Any, list[Result]]:
    """Calls ``target`` in a child; returns what it returns and the results it had to report."""
    results = _captured.results = []
    try:
        return target(*args, **kwargs), results
    finally:
        _captured.results = None
