"""The kombu transport: complete, and steady when AWS is not.

``broker_transport = "celery_sqs:Transport"`` switches it on. It builds on kombu's own SQS transport
and replaces what is missing there. Options are those of :class:`.options.Options`, in Celery's
``broker_transport_options``.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from celery import signals
from kombu.asynchronous import set_event_loop
from kombu.transport import SQS

from celery_sqs import _runtime
from celery_sqs._broker.acknowledgements import Acknowledger
from celery_sqs._broker.auto_delete import AutoDeleteQueues, is_control
from celery_sqs._broker.channel import Channel
from celery_sqs._broker.directory import QueueDirectory
from celery_sqs._broker.large_messages import LargeMessages
from celery_sqs._broker.namespace import default_namespace
from celery_sqs._broker.publishing import Publisher
from celery_sqs._broker.reading import MessageReader
from celery_sqs._broker.receiver import Receiver
from celery_sqs._broker.translation import translate_errors
from celery_sqs._results.sender import flush_results, start_result_sender
from celery_sqs._session import Session, get_session
from celery_sqs.options import Options

CLOSE_SECONDS = 3.0
"""Beyond the longest poll, that closing waits for open polls."""


class Transport(SQS.Transport):
    """One connection: what its channels share."""

    Channel = Channel
    polling_interval = 0.05  # between polls that are long themselves
    is_worker = False
    """Whether this process is a Celery worker."""
    worker_app = ""
    """The name of its application, if it has one."""
    is_stopping: Callable[[], bool] = staticmethod(lambda: False)
    """Whether this process is a worker that was told to end."""
    implements = SQS.Transport.implements.extend(
        exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        given = client.transport_options
        self.options = Options.read(given, defaults=_from_url(client) | default_namespace(given))
        self.session = get_session(self.options)
        self.receivers: set[Receiver] = set()
        self.auto_delete = AutoDeleteQueues(
            self.session.sqs,
            self.session.fanout,
            self.options.visibility_timeout,
            self.worker_app,
        )
        self.directory = QueueDirectory(self.session, self.options, self.auto_delete, given)
        self.acknowledger = Acknowledger(self.session.sqs, self.directory.dead_letter_url)
        self.large_messages = LargeMessages(
            self.options.account, self.options.large_message_bucket, self.options.namespace
        )
        self.publisher = Publisher(self)
        self.reader = MessageReader(self)
        self._end = weakref.finalize(
            self, finalize, os.getpid(), self.auto_delete, self.acknowledger, self.session
        )

    @property
    def no_ack_queues(self) -> set[str]:
        """Queues whose messages are deleted when they are received."""
        return self._noack_queues  # type: ignore[no-any-return]

    def callback(self, queue: str) -> Callable[[Any], Any] | None:
        """What kombu wants called with the messages of a queue."""
        found: Callable[[Any], Any] | None = self._callbacks.get(queue)
        return found

    def establish_connection(self) -> Any:
        """Raises :class:`.errors.BrokerUnavailable` when AWS cannot be reached."""
        with translate_errors():
            self.session.verify(self.directory.process_name("connection"))
        return super().establish_connection()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        for channel in self.channels:
            channel.use_event_loop(loop)

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
        deadline = time.monotonic() + self.options.wait_time_seconds + CLOSE_SECONDS
        for receiver in self.receivers:
            if not is_control(receiver.queue):
                receiver.join(max(0.0, deadline - time.monotonic()))
        self.receivers.clear()
        self.session.flush()
        flush_results()  # so that the deletions that wait for them are known to the acknowledger
        self.auto_delete.close()
        self.acknowledger.close()
        self._end.detach()


def _from_url(client: Any) -> dict[str, Any]:
    """What ``broker_url`` says of credentials and endpoint: ``sqs://key:secret@host:port``."""
    found: dict[str, Any] = {}
    if client.userid and client.password:
        found["access_key_id"], found["secret_access_key"] = client.userid, client.password
    if client.hostname and client.port:
        scheme = "https" if client.transport_options.get("is_secure") else "http"
        found["endpoint_url"] = f"{scheme}://{client.hostname}:{client.port}"
    return found


def finalize(
    pid: int, auto_delete: AutoDeleteQueues, acknowledger: Acknowledger, session: Session
) -> None:
    """For connections that were never closed, as those of Celery's pools at exit.

    After a failure it is the garbage collector that calls this, in any thread at any moment: also
    in one that holds the very locks that are needed here. So another thread does the work; at
    exit, when the main thread has ended, none can be started any more: then it is done in the main
    thread or not at all. What is left undone may be lost, or is cleaned up later.
    """
    if pid != os.getpid():  # all of this is the parent's, not a forked child's
        return

    def end() -> None:
        session.flush()
        flush_results()
        acknowledger.close()
        auto_delete.close()

    if threading.main_thread().is_alive():
        _runtime.start_thread(end, "sqs-connection-end")
    elif threading.current_thread() is threading.main_thread():
        end()


@signals.worker_init.connect
def install_worker_components(sender: Any, **_: Any) -> None:
    """Gives a worker that is about to start what it needs on SQS, if it uses this transport."""
    with sender.app.connection_for_read() as connection:
        if not isinstance(connection.transport, Transport):
            return
    from celery_sqs._worker import bootsteps  # only a worker needs what Celery's worker brings

    bootsteps.install(sender)
    start_result_sender()
    Transport.is_worker = True
    Transport.worker_app = sender.app.main or ""
    Transport.is_stopping = staticmethod(bootsteps.stopping)


# A forked child must not use its parent's event loop; without one it consumes synchronously.
_runtime.on_fork(lambda: set_event_loop(None))
