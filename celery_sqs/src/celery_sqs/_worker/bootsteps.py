"""Bootsteps that adapt a Celery worker to SQS; the transport installs them."""

import operator
import signal
import socket
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from celery import bootsteps, concurrency
from celery.concurrency import prefork
from celery.utils.log import get_logger
from celery.utils.sysinfo import load_average
from celery.worker import state
from celery.worker.consumer.consumer import Consumer
from celery.worker.consumer.heart import Heart
from celery.worker.consumer.tasks import Tasks

from celery_sqs import _runtime
from celery_sqs._worker.request import REQUEST
from celery_sqs._worker.watchdog import Watchdog
from celery_sqs.options import Options

logger = get_logger(__name__)

CORRECTION_SECONDS = 1.0
"""After a command until the heartbeat that says the true interval."""
POOL = "celery_sqs._worker.pool:TaskPool"
CELERY_REQUEST = "celery.worker.request:Request"
REFUSED_POOLS = ("gevent", "eventlet")
"""Their workers have no event loop that the receivers' threads could deliver to."""


ACK_LATER = "call_soon_ack" if hasattr(Consumer, "call_soon_ack") else "call_soon"
"""Attribute of Celery's consumer that defers acknowledgements; before 5.7 named ``call_soon``."""


class RequeuePrefetched(bootsteps.StartStopStep):
    """At the start of any shutdown, requeues at once what is held and has not started.

    Stock Celery keeps it invisible until its running tasks have ended, or until the visibility
    timeout does it.
    """

    requires = (Tasks,)  # so that it stops before the consumer of tasks

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        c.on_decode_error = _dead_letter_undecodable

    def start(self, c: Any) -> None:
        # Celery defers an ack to the event loop's next turn. When the worker is told to stop in
        # between there is none: the task is over, its message still held, and would be requeued.
        # An ack here makes no call, so it need not be deferred.
        setattr(c, ACK_LATER, operator.call)

    def stop(self, c: Any) -> None:
        if c.task_consumer is None or not stopping():
            return
        c.task_consumer.cancel()
        running = {request.message.delivery_tag for request in tuple(state.active_requests)}
        returned = c.task_consumer.channel.requeue_all_except(running)
        logger.info("%d messages requeued, %d tasks still running", returned, len(running))

    terminate = stop


def _dead_letter_undecodable(message: Any, exc: Exception) -> None:
    """Celery acknowledges, that is deletes, what it cannot decode."""
    logger.error("cannot decode a message, dead-lettered: %r", exc)
    message.channel.dead_letter(message.delivery_tag)


class SignalWakeup(bootsteps.StartStopStep):
    """Lets a signal wake the event loop.

    Python handles a signal at once, but then goes on waiting in ``epoll`` until a timer is due: an
    idle worker looks up to ten seconds later whether it was told to stop.
    """

    requires = (Tasks,)
    _sockets: tuple[socket.socket, socket.socket] | None = None

    def register_with_event_loop(self, c: Any, hub: Any) -> None:
        self.stop(c)
        if threading.current_thread() is not threading.main_thread():
            return  # signals are the main thread's, as in a worker embedded by a test
        reader, writer = self._sockets = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        hub.add_reader(reader, self._drain, reader)

    def _drain(self, reader: socket.socket) -> None:
        with suppress(BlockingIOError):
            reader.recv(4096)

    def stop(self, c: Any) -> None:
        if self._sockets is None:
            return
        signal.set_wakeup_fd(-1)
        reader, writer = self._sockets
        self._sockets = None
        if c.hub is not None:
            c.hub.remove_reader(reader)
        reader.close()
        writer.close()


class SlowHeartbeat(bootsteps.StartStopStep):
    """A heartbeat every 30 s instead of every 2: each is a paid call for every listener.

    Who begins to listen asks for a heartbeat at once, and Celery's answer says that the next comes
    in 5 s; so a true one follows, or the worker would be taken for dead until its next turn.
    """

    requires = (Heart,)
    _correcting = False

    def create(self, c: Any) -> None:
        interval = (c.app.conf.broker_transport_options or {}).get("heartbeat_interval")
        for step in c.steps:
            if isinstance(step, Heart) and step.heartbeat_interval is None:
                step.heartbeat_interval = interval or Options.heartbeat_interval

    def start(self, c: Any) -> None:
        fanout = c.connection.transport.session.fanout
        if c.hub is not None:
            fanout.on_command = lambda: c.hub.call_soon(self._correct, c)

    def stop(self, c: Any) -> None:
        if c.connection is not None:
            c.connection.transport.session.fanout.on_command = None

    def _correct(self, c: Any) -> None:
        if not self._correcting:
            self._correcting = True
            c.hub.call_later(CORRECTION_SECONDS, self._beat, c)

    def _beat(self, c: Any) -> None:
        self._correcting = False
        if c.event_dispatcher is not None and c.heart is not None:
            c.event_dispatcher.send(
                "worker-heartbeat",
                freq=c.heart.interval,
                active=len(state.active_requests),
                processed=state.all_total_count[0],
                loadavg=load_average(),
                **state.SOFTWARE_INFO,
            )


class WatchdogStep(bootsteps.StartStopStep):
    """The watchdog over this worker's receivers."""

    requires = (Tasks,)
    _watchdog: Watchdog | None = None

    def start(self, c: Any) -> None:
        transport = c.connection.transport
        if transport.options.watchdog:
            self._watchdog = Watchdog(
                lambda: tuple(transport.receivers), transport.options.watchdog
            )
            self._watchdog.start()

    def stop(self, c: Any) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()


def stopping() -> bool:
    """Whether this worker was told to end, as opposed to having lost its connection."""
    # By identity: SIGTERM sets should_stop to the exit code 0, which equals False.
    return any(
        flag is not None and flag is not False
        for flag in (state.should_stop, state.should_terminate)
    )


def install(worker: Any) -> None:
    """Adds all of this to the worker that is about to start; ends it if its pool cannot work."""
    implementation = concurrency.get_implementation(worker.pool_cls)
    pool = implementation.__module__.rpartition(".")[2]
    if pool in REFUSED_POOLS:
        raise SystemExit(
            f"celery_sqs does not support the {pool} pool: use prefork, threads or solo"
        )
    if implementation is prefork.TaskPool:
        if worker.concurrency == "auto":  # while Celery knows the pool by its name
            worker.pool_cls = implementation
            worker._resolve_auto_concurrency()
        worker.pool_cls = POOL
    worker.app.steps["consumer"].update(
        (RequeuePrefetched, WatchdogStep, SignalWakeup, SlowHeartbeat)
    )
    for task in worker.app.tasks.values():
        if task.Request == CELERY_REQUEST:
            task.Request = REQUEST


# The signals of a child must not wake its parent's event loop.
_runtime.on_fork(partial(signal.set_wakeup_fd, -1))
