"""kombu transport for Celery on SQS: complete, and calm when AWS is not.

``broker_transport = "celery_sqs._broker.transport:Transport"`` switches it on. It stands on kombu's
own SQS transport and replaces what is missing there; :mod:`.channel` does the work. Options are
those of :class:`.options.Options`, in Celery's ``broker_transport_options``.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import signals
from kombu.asynchronous import set_event_loop
from kombu.transport import SQS

from celery_sqs._aws.queues import find_url
from celery_sqs._broker import acknowledgements
from celery_sqs._broker.acknowledgements import Acknowledger
from celery_sqs._broker.auto_delete import AutoDeleteQueues, is_control
from celery_sqs._broker.channel import Channel
from celery_sqs._broker.receiver import Receiver
from celery_sqs._results import sender as result_sender
from celery_sqs._session import Session, get_session
from celery_sqs.options import Options

CLOSE_GRACE = 3.0
"""Seconds beyond the longest poll that closing waits for open polls."""


class Transport(SQS.Transport):
    """One connection: what its channels share."""

    Channel = Channel
    polling_interval = 0.05  # between polls that are long themselves
    is_stopping: Callable[[], bool] = staticmethod(lambda: False)
    """Whether this process is a worker that was told to end."""
    implements = SQS.Transport.implements.extend(
        exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.options = Options.of(client.transport_options)
        self.session = get_session(self.options)
        if not client.transport_options.get("predefined_queues"):
            self._queue_cache = self.session.queue_urls  # asked for once in a process
        self.receivers: set[Receiver] = set()
        self.acknowledger = Acknowledger(self.session.sqs, partial(_grave, self.session))
        self.auto_delete = AutoDeleteQueues(
            self.session.sqs, self.session.fanout, self.options.visibility_timeout
        )
        self._end = weakref.finalize(
            self, finalize, os.getpid(), self.auto_delete, self.acknowledger, self.session
        )

    def start(self, receiver: Receiver) -> None:
        """Starts a receiver that is stopped when the connection is closed."""
        self.receivers = {r for r in self.receivers if r.is_alive() or not r.stopping}
        self.receivers.add(receiver)
        receiver.start()

    def close_connection(self, connection: Any) -> None:
        """Ends consumers, waits for what open polls of task queues still bring, sends the rest."""
        for receiver in self.receivers:
            receiver.stop()
        super().close_connection(connection)
        deadline = time.monotonic() + self.options.wait_time_seconds + CLOSE_GRACE
        for receiver in self.receivers:
            if not is_control(receiver.queue):
                receiver.join(max(0.0, deadline - time.monotonic()))
        self.receivers.clear()
        self.session.flush()
        _flush_answers()
        self.auto_delete.close()
        self.acknowledger.close()
        self._end.detach()


def _flush_answers() -> None:
    """So that the deletions that wait for them are known to the acknowledger."""
    sender = result_sender.get_result_sender()
    if sender is not None:
        sender.flush()


def _grave(account: Session, url: str) -> str | None:
    """URL of the dead-letter queue of a queue."""
    name = acknowledgements.dead_letter_queue(account.sqs(), url)
    return find_url(account.sqs(), name) if name else None


def finalize(
    pid: int, temporary: AutoDeleteQueues, settled: Acknowledger, sending: Session
) -> None:
    """For connections nobody closed, as those of Celery's pools at exit or after a failure.

    After a failure it is the garbage collector that calls this, in any thread at any moment: also
    in one that holds the very locks that are needed here. So another thread does the work; at
    exit, when the main thread has ended, none can be started any more: then it is done in the main
    thread or not at all. What is left undone may be lost, or is swept.
    """
    if pid != os.getpid():  # all of this is the parent's, not a forked child's
        return

    def end() -> None:
        sending.flush()
        _flush_answers()
        settled.close()
        temporary.close()

    if threading.main_thread().is_alive():
        threading.Thread(target=end, name="sqs-connection-end", daemon=True).start()
    elif threading.current_thread() is threading.main_thread():
        end()


@signals.worker_init.connect
def install_worker_components(sender: Any, **_: Any) -> None:
    with sender.app.connection_for_read() as connection:
        if not isinstance(connection.transport, Transport):
            return
    from celery_sqs._worker import bootsteps  # only a worker needs what Celery's worker brings

    result_sender.start_result_sender()
    bootsteps.install(sender)
    Transport.is_stopping = staticmethod(bootsteps.stopping)


# A forked child must not use its parent's event loop; without one it consumes synchronously.
os.register_at_fork(after_in_child=partial(set_event_loop, None))
