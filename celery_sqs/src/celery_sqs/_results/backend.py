"""Result backend: the worker sends each result to the queue of the process that waits for it.

Switched on by ``result_backend = "celery_sqs._results.backend:ResponseQueueBackend"``; settings in
``result_backend_transport_options``, see :class:`Options`. Results live in memory of the client
process and nowhere else: keep what must outlive it in a store of your own.
"""

import atexit
import logging
import os
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import ImproperlyConfigured
from celery.result import task_join_will_block
from celery.signals import before_task_publish

from celery_sqs._aws.client import CallFailed, is_no_such_queue, make_client
from celery_sqs._aws.queues import MAX_WAIT, queue_url
from celery_sqs._ops.cleanup import cleanup_in_background
from celery_sqs._results.consumer import ConsumerHealth, ResultConsumer
from celery_sqs._results.response_queue import ResponseQueue
from celery_sqs._results.sender import Line, Result, hand_over
from celery_sqs.errors import NoSuchQueue, ResultTooLarge

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

MAX_RESULT_BYTES = 262_144
"""Bytes of one answer. AWS takes 1 MiB since August 2025; queues made before, 256 KiB."""


@dataclass(frozen=True)
class Options:
    """``result_backend_transport_options``."""

    response_queue: str
    """Name of the first client process's queue and prefix of all others."""
    machine: str = field(default_factory=socket.gethostname)
    """Name of this machine in queue names."""
    state_dir: Path = field(
        default_factory=lambda: Path(tempfile.gettempdir()) / f"celery-sqs-{os.getuid()}"
    )
    """Where this machine keeps the locks; the same for all its client processes."""
    wait_time_seconds: int = MAX_WAIT
    """Of a long poll. A shorter one costs calls; a killed client's open poll may still take answers
    of the next one for so long."""
    cleanup_prefix: str | None = None
    """Queues whose names begin so are swept when their process is gone: response queues, and if it
    covers them, control queues and subscriptions. By default ``response_queue``; empty for none."""
    region: str | None = None
    endpoint_url: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Options":
        """Raises :class:`celery.exceptions.ImproperlyConfigured`, naming every fault."""
        unknown = sorted(set(given) - {f.name for f in fields(cls)})
        faults = [f"{name} is unknown" for name in unknown]
        if not given.get("response_queue"):
            faults.append("response_queue is missing")
        if not 0 < given.get("wait_time_seconds", MAX_WAIT) <= MAX_WAIT:
            faults.append(f"wait_time_seconds must be 1 to {MAX_WAIT}")
        if faults:
            raise ImproperlyConfigured(f"result_backend_transport_options: {', '.join(faults)}")
        known = {**given, "state_dir": Path(given["state_dir"])} if "state_dir" in given else given
        return cls(**known)

    def client(self) -> "SQSClient":
        return make_client("sqs", region=self.region, endpoint_url=self.endpoint_url)

    def clients(self) -> "tuple[SQSClient, SNSClient]":
        sns = make_client("sns", region=self.region, endpoint_url=self.endpoint_url)
        return self.client(), sns


_consumers: dict[Options, ResultConsumer] = {}
_consumers_lock = threading.Lock()


def _consumer(options: Options) -> ResultConsumer:
    """The process's one consumer for these options, whatever number of backends celery makes."""
    with _consumers_lock:
        if options not in _consumers:
            address = ResponseQueue(
                options.client,
                base=options.response_queue,
                machine=options.machine,
                state_dir=options.state_dir,
            )
            _consumers[options] = ResultConsumer(options.client, address, options.wait_time_seconds)
        return _consumers[options]


def _after_fork() -> None:
    global _consumers_lock
    _consumers_lock = threading.Lock()
    for consumer in _consumers.values():
        consumer.abandon()
    _consumers.clear()


@atexit.register
def _at_exit() -> None:
    with _consumers_lock:
        consumers = tuple(_consumers.values())
        _consumers.clear()
    for consumer in consumers:
        consumer.close()


os.register_at_fork(after_in_child=_after_fork)


@before_task_publish.connect(dispatch_uid="celery_sqs._results.backend.address_answers")
def _address_answers(
    headers: Mapping[str, Any], properties: dict[str, Any], body: Any, **_: Any
) -> None:
    """Writes this process's queue into ``reply_to`` of a task whose slot is open here.

    Celery puts a thread's id there, also into tasks chained to this one, which workers send on.
    """
    task_id = headers.get("id")
    if task_id is None:  # protocol 1, which this layer does not speak
        return
    with _consumers_lock:
        consumers = tuple(_consumers.values())
    for consumer in consumers:
        if consumer.is_open(task_id):
            placeholder = properties.get("reply_to")
            properties["reply_to"] = consumer.queue
            if placeholder:
                _address_chained(body[2], placeholder, consumer)


def _address_chained(embedded: Any, placeholder: str, consumer: ResultConsumer) -> None:
    """Does the same in every signature inside ``embedded`` and opens its slot."""
    if isinstance(embedded, list | tuple):
        for inner in embedded:
            _address_chained(inner, placeholder, consumer)
    elif isinstance(embedded, dict):
        if embedded.get("reply_to") == placeholder:
            embedded["reply_to"] = consumer.queue
            if embedded.get("task_id"):
                consumer.open(embedded["task_id"])
        for inner in embedded.values():
            _address_chained(inner, placeholder, consumer)


class ResponseQueueBackend(BaseBackend):
    """Results over SQS: one send per task, no polling, one response queue per client process.

    Supports ``get``, ``ready``, groups and chains; no chords (they need a shared counter), no
    states before the last, no results of other processes' tasks. ``get`` raises
    :class:`ResponseQueueLost` when the queue was deleted meanwhile.
    """

    persistent = False
    supports_autoexpire = True

    def __init__(self, app: Any, url: str | None = None, **kwargs: Any) -> None:
        super().__init__(app, url=url, **kwargs)
        self.thread_safe = True  # celery would make a backend per thread otherwise
        if self.content_encoding != "utf-8":
            raise ImproperlyConfigured("result_serializer must be a text format such as json")
        self.options = Options.read(app.conf.result_backend_transport_options or {})
        self.counters: Counter[str] = Counter()
        """Of the worker's side: ``sent``, ``not_sent``."""
        self._urls: dict[str, str] = {}
        self._sweeps = False

    def as_uri(self, include_password: bool = True) -> str:
        return f"sqs-responses://{self.options.response_queue}"

    # Client

    @property
    def _consumer(self) -> ResultConsumer:
        return _consumer(self.options)

    def start(self) -> None:
        """Takes the response queue and starts receiving now instead of at the first task sent.

        For a client that lives long: it also sweeps up after those that are gone.
        """
        self._consumer.start()
        prefix = self.options.cleanup_prefix
        prefix = self.options.response_queue if prefix is None else prefix
        if prefix and not self._sweeps:
            self._sweeps = True
            cleanup_in_background(self.options.clients, prefix, {self.options.response_queue})

    def health(self) -> ConsumerHealth:
        """How the receiving of answers does in this process."""
        return self._consumer.health()

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Opens the slot before the task is sent.

        Not in a worker's task, which may not wait (celery's ``assert_will_not_block``): a prefork
        child would take a response queue for answers nobody fetches.
        """
        if not task_join_will_block():
            self._consumer.open(task_id)

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> dict[str, Any]:
        """The result's meta once it arrives; raises as :meth:`ResultConsumer.wait` does."""
        self._ensure_not_eager()
        # celery passes an empty promise when there is nothing to do between: then wait in one go
        busy = getattr(on_interval, "fun", on_interval) is not None
        answer = self._consumer.wait(
            task_id, timeout, interval=interval, on_interval=on_interval if busy else None
        )
        return dict(self.decode(answer))

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        answer = self._consumer.peek(task_id)
        if answer is None:
            return {"status": states.PENDING, "result": None, "task_id": task_id}
        return dict(self.decode(answer))

    def _forget(self, task_id: str) -> None:
        self._consumer.forget(task_id)

    def ensure_chords_allowed(self) -> None:
        raise NotImplementedError("chords need a result backend with shared counters")

    # Worker

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **_: Any,
    ) -> None:
        """Has the worker send it, or sends it when there is none. Nothing before the last state.

        A broken result path fails no task.
        """
        reply_to = str(getattr(request, "reply_to", None) or "")
        if state not in states.READY_STATES or not self._is_ours(reply_to):
            return
        body = self._answer(task_id, result, state, traceback, request)
        line = Line(self.options.region, self.options.endpoint_url, reply_to)
        receipt = (getattr(request, "properties", None) or {}).get("delivery_tag")
        if hand_over(Result(line, task_id, body, receipt)):
            return
        try:
            self._send(reply_to, body)
            self.counters["sent"] += 1
        except (NoSuchQueue, *CallFailed) as error:
            self.counters["not_sent"] += 1
            logger.error("answer of task %s to %s not sent: %s", task_id, reply_to, error)

    def _is_ours(self, reply_to: str) -> bool:
        """A message must not direct answers to any queue it likes; celery's own ids are none."""
        return reply_to.startswith(self.options.response_queue)

    def _answer(
        self, task_id: str, result: Any, state: str, traceback: str | None, request: Any
    ) -> str:
        meta = self._get_result_meta(result, state, traceback, request)
        body = self._body(task_id, meta)
        if len(body.encode()) <= MAX_RESULT_BYTES:
            return body
        error = ResultTooLarge(f"{len(body.encode())} bytes, at most {MAX_RESULT_BYTES}")
        meta = self._get_result_meta(self.prepare_exception(error), states.FAILURE, None, request)
        return self._body(task_id, meta)

    def _body(self, task_id: str, meta: dict[str, Any]) -> str:
        """What has a value; ``children`` and ``traceback`` are named by celery's result classes."""
        needed = {"status", "result", "traceback", "children"}
        known = {k: v for k, v in meta.items() if k in needed or v not in (None, [])}
        return f"{task_id}\n{self.encode({**known, 'task_id': task_id})}"

    def _send(self, queue: str, body: str) -> None:
        client = self.options.client()
        if queue not in self._urls:
            self._urls[queue] = queue_url(client, queue)
        try:
            client.send_message(QueueUrl=self._urls[queue], MessageBody=body)
        except CallFailed as error:
            if is_no_such_queue(error):
                del self._urls[queue]
            raise
