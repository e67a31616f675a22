"""Result backend: the worker sends each result to the queue of the process that waits for it.

Switched on by ``result_backend = "sqs://RESPONSE-QUEUE"``, or by
``"celery_sqs:ResponseQueueBackend"`` and the option ``response_queue``; see
:class:`.options.Options`. Results live in memory of the client process; with the option
``result_store`` also in a store that every process reads.
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
from celery_sqs._broker.bulk import flush_bulk
from celery_sqs._broker.namespace import default_namespace
from celery_sqs._ops.cleanup import cleanup_in_background
from celery_sqs._results.consumer import ConsumerHealth, ResultConsumer
from celery_sqs._results.joining import JoiningMixin
from celery_sqs._results.reply_addresses import address_for_client, address_for_replacement
from celery_sqs._results.response_queue import ResponseQueue
from celery_sqs._results.sender import PART_LINGER, Destination, Result, enqueue
from celery_sqs._results.stored import IN_STORE
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
    """Writes the response queue into ``reply_to`` of what is sent; see :mod:`.reply_addresses`."""
    task_id = headers.get("id")
    if task_id is None:  # protocol 1, which this library does not speak
        return
    for consumer in _runtime.all_of(ResultConsumer):
        if consumer.is_open(task_id):
            placeholder = properties.get("reply_to")
            properties["reply_to"] = consumer.queue
            if placeholder:
                address_for_client(body[2], placeholder, consumer.queue, consumer.open)
    running = current_task.request if current_task else None
    if running is not None and running.id and running.reply_to:
        address_for_replacement(
            properties, body[2], task_id, replaced=running.id, queue=running.reply_to
        )


class ResponseQueueBackend(JoiningMixin, BaseBackend):
    """Results over SQS: one send per task, no polling, one response queue per client process.

    Supports ``get``, ``ready``, groups and chains of this process's tasks; with the option
    ``result_store`` also results of other processes' tasks, states before the last, saved groups
    and chords. Without it, what cannot be known raises :class:`.errors.ResultUnknown`. ``get``
    raises :class:`.errors.ResponseQueueLost` when the queue was deleted meanwhile.
    """

    persistent = False

    def __init__(self, app: Any, url: str | None = None, **kwargs: Any) -> None:
        super().__init__(app, url=url, **kwargs)
        self.thread_safe = True  # celery would make a backend per thread otherwise
        if self.content_encoding != "utf-8":
            raise ImproperlyConfigured("result_serializer must be a text format such as json")
        self.options = _read_options(app.conf, url)
        self.result_store = self.options.result_store
        self.supports_autoexpire = self.store is None or self.store.supports_autoexpire
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
        """The result's meta once it arrives.

        Raises as :meth:`.pending.PendingResults.wait`, and :class:`.errors.ResultUnknown` at once
        for a task that this process has not sent, when there is no store.
        """
        self._ensure_not_eager()
        flush_bulk()
        # celery passes an empty promise when there is nothing to do between: then wait in one go
        busy = on_interval if getattr(on_interval, "fun", on_interval) is not None else None
        if not self._is_expected(task_id):
            return self._wait_for_any(task_id, timeout, interval, busy)
        found = self._wait_for_own(self._consumer, task_id, timeout, interval, busy)
        return self._decoded(task_id, found)

    def _is_expected(self, task_id: str) -> bool:
        """Whether a push of this result is kept in this process."""
        return any(each.is_open(task_id) for each in _runtime.all_of(ResultConsumer))

    @contextmanager
    def notify(self, task_id: str, callback: Callable[[], object]) -> Iterator[None]:
        """Has ``callback`` called, from any thread, when the result has arrived or is lost."""
        self._consumer.start()
        with self._consumer.notify(task_id, callback):
            yield

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        if not self._is_expected(task_id):
            return self._read_stored(task_id)
        found = self._consumer.peek(task_id)
        if found is not None:
            return self._decoded(task_id, found)
        if self.store is not None and not self._waiting.pushes_only:
            return self.store.read(task_id)
        return {"status": states.PENDING, "result": None, "task_id": task_id}

    def _read_stored(self, task_id: str) -> dict[str, Any]:
        for consumer in _runtime.all_of(ResultConsumer) if self.store is None else ():
            consumer.peek(task_id)  # says so if it was forgotten
        return super()._read_stored(task_id)

    def _decoded(self, task_id: str, found: Any) -> dict[str, Any]:
        """The meta of a pushed result; of one that was too large, from the store."""
        meta = found if isinstance(found, dict) else dict(self.decode(found))
        return self._read_stored(task_id) if meta.get(IN_STORE) else meta

    def _forget(self, task_id: str) -> None:
        if self._is_expected(task_id):
            self._consumer.forget(task_id)
        if self.store is not None:
            self.store.forget([task_id])

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
        """Stores it if there is a store, and has the worker send the last state, or sends it.

        A broken result path fails no task.
        """
        meta = self._get_result_meta(result, state, traceback, request)
        stored = self._write(task_id, meta, request)
        reply_to = str(getattr(request, "reply_to", None) or "")
        if state not in states.READY_STATES or not self._is_ours(reply_to):
            return
        body = self._result_body(task_id, meta, request, stored=stored)
        destination = Destination(self.options.account, reply_to)
        receipt = (getattr(request, "properties", None) or {}).get("delivery_tag")
        linger = PART_LINGER if getattr(request, "chord", None) else 0.0
        if enqueue(Result(destination, task_id, body, receipt, linger)):
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
        self, task_id: str, meta: dict[str, Any], request: Any, *, stored: bool
    ) -> str:
        body = self._body(task_id, meta)
        if len(body.encode()) <= MAX_RESULT_BYTES:
            return body
        if stored:
            return self._body(task_id, {"status": meta["status"], "result": None, IN_STORE: True})
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
