"""Result backend: the worker sends each result to the queue of the process that waits for it.

Switched on by ``result_backend = "sqs://RESPONSE-QUEUE"``, or by
``"celery_sqs:ResponseQueueBackend"`` and the option ``response_queue``; see
:class:`.options.Options`. Results live in memory of the
client process and nowhere else: keep what must outlive it in a store of your own.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from celery import current_task, states
from celery.backends.base import BaseBackend
from celery.exceptions import ImproperlyConfigured
from celery.result import task_join_will_block
from celery.signals import before_task_publish

from celery_sqs import _runtime
from celery_sqs._aws.client import CallFailed, is_no_such_queue, make_client
from celery_sqs._aws.queues import queue_url
from celery_sqs._broker.namespace import default_namespace
from celery_sqs._ops.cleanup import cleanup_in_background
from celery_sqs._results.consumer import ConsumerHealth, ResultConsumer
from celery_sqs._results.response_queue import ResponseQueue
from celery_sqs._results.sender import Destination, Result, enqueue
from celery_sqs.errors import NoSuchQueue, ResultTooLarge
from celery_sqs.options import Options

logger = logging.getLogger(__name__)

MAX_RESULT_BYTES = 262_144
"""Bytes of one result. AWS takes 1 MiB since August 2025; queues made before, 256 KiB."""


MAX_ARGUMENTS = 10_000
"""Characters of arguments that ``result_extended`` adds to a result."""


def _consumer(options: Options) -> ResultConsumer:
    client = partial(make_client, "sqs", options.account)
    queue = ResponseQueue(
        client,
        base=options.response_queue,
        machine=options.machine,
        state_dir=options.state_dir,
    )
    return ResultConsumer(client, queue, options.wait_time_seconds)


@before_task_publish.connect(dispatch_uid="celery_sqs.set_reply_to")
def _set_reply_to(
    headers: Mapping[str, Any], properties: dict[str, Any], body: Any, **_: Any
) -> None:
    """Writes this process's queue into ``reply_to`` of a task whose result is pending here.

    Celery puts a thread's id there, also into tasks chained to this one, which workers send on. A
    task that replaces the one that runs has its id, and hands its reply address on.
    """
    task_id = headers.get("id")
    if task_id is None:  # protocol 1, which this library does not speak
        return
    for consumer in _runtime.all_of(ResultConsumer):
        if consumer.is_open(task_id):
            placeholder = properties.get("reply_to")
            properties["reply_to"] = consumer.queue
            if placeholder:
                _set_reply_to_chained(body[2], placeholder, consumer)
    running = current_task.request if current_task else None
    if running is not None and running.id == task_id and running.reply_to:
        properties["reply_to"] = running.reply_to


def _set_reply_to_chained(embedded: Any, placeholder: str, consumer: ResultConsumer) -> None:
    """Does the same in every signature inside ``embedded`` and expects its result."""
    if isinstance(embedded, list | tuple):
        for inner in embedded:
            _set_reply_to_chained(inner, placeholder, consumer)
    elif isinstance(embedded, dict):
        if embedded.get("reply_to") == placeholder:
            embedded["reply_to"] = consumer.queue
            if embedded.get("task_id"):
                consumer.open(embedded["task_id"])
        for inner in embedded.values():
            _set_reply_to_chained(inner, placeholder, consumer)


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
        self.options = _read_options(app.conf, url)
        self.counters: Counter[str] = Counter()
        """Of the worker's side: ``sent``, ``not_sent``."""
        self._urls: dict[str, str] = {}
        self._cleans_up = False

    def as_uri(self, include_password: bool = True) -> str:
        return f"sqs://{self.options.response_queue}"

    # Client

    @property
    def _consumer(self) -> ResultConsumer:
        """The process's one for these options, whatever number of backends Celery makes."""
        return _runtime.shared((ResultConsumer, self.options), partial(_consumer, self.options))

    def start(self) -> None:
        """Takes the response queue and starts receiving now instead of at the first task sent.

        For a client that lives long: it also removes what processes that are gone left behind.
        """
        self._consumer.start()
        prefix = self.options.cleanup_prefix
        prefix = self.options.response_queue if prefix is None else prefix
        if prefix and not self._cleans_up:
            self._cleans_up = True
            cleanup_in_background(self.options.account, prefix, {self.options.response_queue})

    def health(self) -> ConsumerHealth:
        """How the receiving of results does in this process."""
        return self._consumer.health()

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Expects the result before the task is sent.

        Not in a worker's task, which may not wait (celery's ``assert_will_not_block``): a prefork
        child would take a response queue for results that are never fetched.
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
        """The result's meta once it arrives; raises as :meth:`.pending.PendingResults.wait`."""
        self._ensure_not_eager()
        # celery passes an empty promise when there is nothing to do between: then wait in one go
        busy = getattr(on_interval, "fun", on_interval) is not None
        found = self._consumer.wait(
            task_id, timeout, interval=interval, on_interval=on_interval if busy else None
        )
        return dict(self.decode(found))

    @contextmanager
    def notify(self, task_id: str, callback: Callable[[], object]) -> Iterator[None]:
        """Has ``callback`` called, from any thread, when the result has arrived or is lost."""
        self._consumer.start()
        with self._consumer.notify(task_id, callback):
            yield

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        found = self._consumer.peek(task_id)
        if found is None:
            return {"status": states.PENDING, "result": None, "task_id": task_id}
        return dict(self.decode(found))

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
        body = self._result_body(task_id, result, state, traceback, request)
        destination = Destination(self.options.account, reply_to)
        receipt = (getattr(request, "properties", None) or {}).get("delivery_tag")
        if enqueue(Result(destination, task_id, body, receipt)):
            return
        try:
            self._send(reply_to, body)
            self.counters["sent"] += 1
        except (NoSuchQueue, *CallFailed) as error:
            self.counters["not_sent"] += 1
            logger.error("result of task %s to %s not sent: %s", task_id, reply_to, error)

    def _is_ours(self, reply_to: str) -> bool:
        """A message must not direct results to any queue it likes; Celery's own ids are none."""
        return reply_to.startswith(self.options.response_queue)

    def _result_body(
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
        meta = {k: v for k, v in meta.items() if k not in ("args", "kwargs") or _is_short(v)}
        known = {k: v for k, v in meta.items() if k in needed or v not in (None, [])}
        return f"{task_id}\n{self.encode({**known, 'task_id': task_id})}"

    def _send(self, queue: str, body: str) -> None:
        client = make_client("sqs", self.options.account)
        if queue not in self._urls:
            self._urls[queue] = queue_url(client, queue)
        try:
            client.send_message(QueueUrl=self._urls[queue], MessageBody=body)
        except CallFailed as error:
            if is_no_such_queue(error):
                del self._urls[queue]
            raise


def _is_short(arguments: Any) -> bool:
    """Whether arguments, which ``result_extended`` adds, may be part of a result."""
    return len(repr(arguments)) <= MAX_ARGUMENTS


def _read_options(conf: Any, url: str | None) -> Options:
    """Broker's and backend's; what the URL says comes first."""
    ours = str(conf.broker_transport or "").startswith("celery_sqs")
    broker = dict(conf.broker_transport_options or {}) if ours else {}
    results = dict(conf.result_backend_transport_options or {})
    queue = (url or "").partition("://")[2].strip("/")
    if queue:
        results["response_queue"] = queue
    if "wait_time_seconds" not in results and "wait_time_seconds" in broker:
        results["wait_time_seconds"] = broker["wait_time_seconds"]
    return Options.read(broker, results, defaults=default_namespace(broker) if ours else None)
