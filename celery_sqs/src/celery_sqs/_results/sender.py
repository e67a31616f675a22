"""Results of a worker's tasks: gathered by its parent process and sent in batches.

A prefork child that sent its own result would wait for SQS after every task, with one call each.
So the child puts the result beside the outcome it reports to its parent anyway, through the pipe
they share (:func:`capture_results`, called by :mod:`.pool`); the two arrive together or not at all.
The parent (and a worker without children, for itself) hands results to the :class:`ResultSender`,
which sends those of one queue together. A task's message is deleted only after its result was sent
or given up (:meth:`ResultSender.after`). Whatever dies in between, the message is still queued.
"""

import atexit
import logging
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from celery_sqs._aws.batching import FLUSH, BatchProcessor
from celery_sqs._aws.client import CallFailed, is_no_such_queue, is_refusal, make_client
from celery_sqs._aws.queues import queue_url
from celery_sqs.errors import NoSuchQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds until an answer that cannot be sent is given up. Its task has succeeded all the same."""
REMEMBERED = 2000
"""Deliveries of which it is remembered that they were answered."""


class Line(NamedTuple):
    """Where an answer goes."""

    region: str | None
    endpoint_url: str | None
    queue: str


@dataclass(frozen=True)
class Result:
    """What one delivery of a task has to say to whoever waits for it. Travels between processes."""

    line: Line
    task_id: str
    body: str
    receipt: str | None
    """Which delivery, if it is known."""


class ResultSender:
    """Sends the answers of this worker from a thread, those of one queue together. Thread-safe."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.counters: Counter[str] = Counter()
        """``sent`` and ``not_sent``."""
        self._lock = threading.Lock()
        self._urls: dict[Line, str] = {}
        self._answered: OrderedDict[str, list[Callable[[], None]] | None] = OrderedDict()
        self._batches: BatchProcessor[Line, Result] = BatchProcessor(
            self._send, name="sqs-answers-out", patience=patience
        )

    def send(self, answer: Result) -> None:
        """Has it sent soon. Of several answers of one delivery the first is the answer."""
        receipt = answer.receipt
        if receipt is None:
            self._batches.add(answer.line, answer, size=len(answer.body.encode()))
            return
        with self._lock:
            if receipt in self._answered:
                return
            self._answered[receipt] = []
        self._batches.add(
            answer.line,
            answer,
            size=len(answer.body.encode()),
            then=partial(self._settled, receipt),
        )

    def after(self, receipt: str, then: Callable[[], None]) -> None:
        """Calls ``then`` when the answer of this delivery was sent or given up; or now.

        It is not called when the process ends before that: the request stays for another worker.
        """
        with self._lock:
            waiting = self._answered.get(receipt)
            if waiting is not None:
                waiting.append(then)
                return
        then()

    def flush(self, timeout: float = FLUSH) -> bool:
        """Sends all in the caller's thread; false when some of it could not be."""
        return self._batches.flush(timeout)

    def _settled(self, receipt: str) -> None:
        with self._lock:
            waiting = self._answered.get(receipt) or []
            self._answered[receipt] = None
            while len(self._answered) > REMEMBERED and next(iter(self._answered.values())) is None:
                self._answered.popitem(last=False)
        for then in waiting:
            then()

    def _send(self, line: Line, batch: Sequence[Result]) -> Mapping[int, bool]:
        client = make_client("sqs", region=line.region, endpoint_url=line.endpoint_url, attempts=1)
        try:
            verdict = _send_batch(client, self._url(client, line), batch)
        except NoSuchQueue as error:
            verdict = dict.fromkeys(range(len(batch)), Refusal(repr(error), may_pass=False))
        except CallFailed as error:
            if not is_no_such_queue(error) and not (is_refusal(error) and len(batch) == 1):
                raise
            self._urls.pop(line, None)
            verdict = dict.fromkeys(range(len(batch)), Refusal(str(error), may_pass=False))
        self._note(batch, verdict)
        return {index: refusal.may_pass for index, refusal in verdict.items()}

    def _url(self, client: "SQSClient", line: Line) -> str:
        if line not in self._urls:
            self._urls[line] = queue_url(client, line.queue)
        return self._urls[line]

    def _note(self, batch: Sequence[Result], verdict: "Mapping[int, Refusal]") -> None:
        self.counters["sent"] += len(batch) - len(verdict)
        for index, refusal in verdict.items():
            if not refusal.may_pass:
                self.counters["not_sent"] += 1
                answer = batch[index]
                logger.error(
                    "answer of task %s to %s not sent: %s",
                    answer.task_id, answer.line.queue, refusal.reason,
                )  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """Why an answer was not taken."""

    reason: str
    may_pass: bool


def _send_batch(client: "SQSClient", url: str, batch: Sequence[Result]) -> dict[int, Refusal]:
    """The answers SQS did not take: a batch call answers 200 with failures inside."""
    response = client.send_message_batch(
        QueueUrl=url,
        Entries=[{"Id": str(n), "MessageBody": answer.body} for n, answer in enumerate(batch)],
    )
    return {
        int(entry["Id"]): Refusal(entry["Code"], may_pass=not entry["SenderFault"])
        for entry in response.get("Failed", ())
    }


# The one result_sender of a worker's parent, and the hands of its children

_result_sender: ResultSender | None = None


class _Captured(threading.local):
    answers: list[Result] | None = None
    """While a task of this thread runs whose caller takes the answers."""


_captured = _Captured()


def start_result_sender() -> None:
    """From now on the answers of this process's tasks are sent by a thread. For workers."""
    global _result_sender
    if _result_sender is None:
        _result_sender = ResultSender()


def get_result_sender() -> ResultSender | None:
    """This worker's own; none in other processes, its children among them."""
    return _result_sender


def hand_over(answer: Result) -> bool:
    """Leaves an answer to whoever sends it; false when there is nobody and the caller must."""
    if _captured.answers is not None:
        _captured.answers.append(answer)
    elif _result_sender is not None:
        _result_sender.send(answer)
    else:
        return False
    return True


def capture_results(
    target: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[Any, list[Result]]:
    """Calls ``target`` in a child; returns what it returns and the answers it had to give."""
    answers = _captured.answers = []
    try:
        return target(*args, **kwargs), answers
    finally:
        _captured.answers = None


def _after_fork() -> None:
    """A child has neither the thread nor the right to what its parent has not sent yet."""
    global _result_sender
    _result_sender = None


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    if _result_sender is not None:
        _result_sender.flush()
