"""Flower for Celery on SQS: ``celery -A APP sqs flower [FLOWER OPTIONS]``.

It is Flower itself with four differences. The Broker page and ``/api/queues/length`` show the
counts of SQS, which Flower cannot. Events are not enabled by a broadcast every five seconds (52,000
paid calls a day): workers know by themselves whether events have subscribers. Without a password it
listens on this machine only. And a result that cannot be known is 503 instead of PENDING.
"""

import asyncio
import atexit
import ipaddress
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from celery import Celery
from flower import command
from flower.api.tasks import GetQueueLengths, TaskResult
from flower.app import Flower
from flower.urls import settings
from flower.views.broker import BrokerView
from tornado.options import options

from celery_sqs._ops.task_queues import task_queues

DEFAULTS = (
    "--address=127.0.0.1",
    "--enable_events=False",
    "--tasks_columns=name,state,args,received,runtime,worker,uuid,result",
)
"""Given before the user's own options, which therefore win."""


class SqsBroker:
    """What Flower wants of a broker: the lengths of its queues."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """One dictionary per queue, dead-letter queues included, in Flower's own terms."""
        return await asyncio.to_thread(self._read, sorted(names))

    def _read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "messages": counts.total,
                "messages_unacknowledged": counts.in_flight,
                "messages_ready": counts.visible,
            }
            for name, counts in task_queues(self._app, names)
        ]


class _OnSqs:
    """Mixed into those of Flower's handlers that ask the broker."""

    def get_broker(self) -> SqsBroker:
        return SqsBroker(self.application.capp)  # type: ignore[attr-defined]


class SqsBrokerView(_OnSqs, BrokerView):
    """``/broker``"""


class SqsQueueLengths(_OnSqs, GetQueueLengths):
    """``/api/queues/length``"""


class SqsTaskResult(TaskResult):
    """``/api/task/result/<id>``"""

    def backend_configured(self, result: Any) -> bool:
        """Without a store, a result is known to the process that sent the task, and not here."""
        known = getattr(result.backend, "store", result.backend) is not None
        return known and bool(super().backend_configured(result))


def is_open(address: str, *, protected: bool) -> bool:
    """Whether strangers could reach an unprotected Flower at that address (empty: everywhere)."""
    if protected or address == "localhost":
        return False
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True


def build(app: Celery) -> Flower:
    """Flower as its options say, with our pages before its own."""
    app.set_default()  # Flower reads results from threads, with the current application
    flower = Flower(capp=app, options=options, **settings)
    prefix = f"/{options.url_prefix.strip('/')}" if options.url_prefix else ""
    flower.add_handlers(
        r".*",
        [
            (f"{prefix}/broker", SqsBrokerView),
            (f"{prefix}/api/queues/length", SqsQueueLengths),
            (f"{prefix}/api/task/result/(.+)", SqsTaskResult),
        ],
    )
    return flower


def run(app: Celery, arguments: Sequence[str]) -> int:
    """Runs Flower with its own options until it is stopped; returns the exit code."""
    command.apply_env_options()
    command.apply_options("celery sqs flower", [*DEFAULTS, *arguments])
    protected = bool(options.basic_auth or options.auth)
    if not options.unix_socket and is_open(options.address, protected=protected):
        print(
            "Flower can stop workers: beyond this machine give it --basic_auth=USER:PASSWORD",
            file=sys.stderr,
        )
        return 1
    command.extract_settings()
    command.setup_logging()
    flower = build(app)
    atexit.register(flower.stop)
    signal.signal(signal.SIGTERM, command.sigterm_handler)
    port = flower.start_http_server()
    command.print_banner(app, "ssl_options" in settings, port)
    try:
        flower.start()
    except (KeyboardInterrupt, SystemExit):
        flower.stop()
    return 0
