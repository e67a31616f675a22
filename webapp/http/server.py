"""The WSGI server: waitress, hardened against clients that dawdle, stopped without losing a waiter.

Waitress receives in one thread and hands over whole requests, so a slow client costs a connection,
never a thread; one thread per waiting request (see docs/decisions for the figures). It lacks a
deadline for receiving a request, an answer of ours to requests it refuses itself, and a drain.
"""

import json
import logging
import resource
import time
import uuid
from collections.abc import Callable
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.wasyncore import close_all, loop

from facerec_tasks.settings import Settings
from webapp.http.errors import Problem
from webapp.pages.sampler import MAX_STREAMS

log = logging.getLogger(__name__)

SPARE_THREADS = 16
"""Threads above those that wait, so that health, in_flight and refusals are answered at once."""
SPARE_CONNECTIONS = 1000
"""Connections above those that wait: idle ones kept alive, and slow ones."""
RECEIVE_TIMEOUT = 30
"""Seconds a client has to send one whole request, and as many more as its bytes take at
:data:`SLOWEST`."""
SLOWEST = 250_000
"""Bytes a second below which a client that sends a video is taken for one that dawdles."""
IDLE_TIMEOUT = 60
"""Seconds a connection may be idle between requests."""


_CODES = {413: "too-large", 408: "too-slow"}


class _Refusal(ErrorTask):
    """Our words for what waitress refuses before the application sees it."""

    def execute(self) -> None:
        error = self.request.error
        code = _CODES.get(error.code, "bad-request" if error.code < 500 else "internal")
        problem = Problem(code, str(error.body).splitlines()[0])
        request_id = uuid.uuid4().hex
        if "application/json" in self.request.headers.get("ACCEPT", ""):
            kind, body = "application/problem+json", json.dumps(problem.document(request_id))
        else:
            kind, body = "text/plain; charset=utf-8", problem.line
        log.info("refused before the application: %s", problem.line.strip())
        self.status = f"{problem.status} {error.reason}"
        self.response_headers += [("Content-Type", kind), ("X-Request-ID", request_id)]
        self.set_close_on_finish()
        self.content_length = len(body.encode())
        self.write(body.encode())


class _Channel(HTTPChannel):
    """A connection that knows since when it has been sending the request at hand."""

    error_task_class = _Refusal

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.receiving_since: float = time.monotonic()
        super().__init__(*args, **kwargs)

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.receiving_since = time.monotonic()
        return bool(super().received(data))

    @property
    def received_bytes(self) -> int:
        """Of the body of the request at hand."""
        return self.request.body_bytes_received if self.request is not None else 0

    @property
    def dawdles(self) -> bool:
        """Connected or part of a request sent, but no whole request yet."""
        fresh = self.request is None and self.last_activity == self.creation_time
        return not self.requests and (self.request is not None or fresh)


class Server(TcpWSGIServer):
    """One listening socket. :meth:`serve` returns after :meth:`stop` and the drain."""

    channel_class = _Channel

    def __init__(
        self,
        application: Any,
        settings: Settings,
        *,
        receive_timeout: float = RECEIVE_TIMEOUT,
        spare_connections: int = SPARE_CONNECTIONS,
    ) -> None:
        threads = settings.max_waiting + SPARE_THREADS + MAX_STREAMS
        connections = settings.max_waiting + spare_connections
        _allow_files(connections + 200)
        dispatcher = ThreadedTaskDispatcher()
        super().__init__(
            application,
            map={},
            dispatcher=dispatcher,
            adj=Adjustments(
                host=settings.host,
                port=settings.port,
                threads=threads,
                connection_limit=connections,
                backlog=2048,
                channel_request_lookahead=1,  # goes on reading, so that a hang-up is seen
                ident=None,
                asyncore_use_poll=True,
                channel_timeout=IDLE_TIMEOUT,
                cleanup_interval=1,
                max_request_body_size=settings.largest_request,
                max_request_header_size=32 * 1024,
                clear_untrusted_proxy_headers=True,
            ),
        )
        self.adj.send_bytes = 1  # each line of an answer goes out as soon as it is written
        self._stopping = False
        self._receive_timeout = receive_timeout
        dispatcher.set_thread_count(threads)

    # Dawdlers

    def maintenance(self, now: float) -> None:
        """Closes what is idle (waitress) and what does not end its request (ours)."""
        super().maintenance(now)
        for channel in self._dawdlers():
            patience = self._receive_timeout + channel.received_bytes / SLOWEST
            if time.monotonic() - channel.receiving_since > patience:
                channel.will_close = True

    def readable(self) -> bool:
        """At the limit of connections, who has dawdled longest makes room for who comes."""
        if len(self._map) >= self.adj.connection_limit:
            oldest = min(self._dawdlers(), key=lambda c: c.receiving_since, default=None)
            if oldest is not None:
                oldest.handle_close()
        return bool(super().readable())

    def _dawdlers(self) -> list[_Channel]:
        return [c for c in list(self.active_channels.values()) if c.dawdles]

    # Start and stop

    def stop(self) -> None:
        """Makes :meth:`serve` stop accepting and drain. Safe in a signal handler."""
        self._stopping = True
        self.pull_trigger()

    def serve(self, *, draining: Callable[[], None], drain_timeout: float) -> None:
        """Serves until :meth:`stop`; then accepts no more, calls ``draining``, and answers those
        who wait for at most ``drain_timeout`` seconds."""
        while not self._stopping:
            self._turn()
        log.info("stopping: answering those who wait")
        self._stop_accepting()
        draining()
        deadline = time.monotonic() + drain_timeout
        while self._busy() and time.monotonic() < deadline:
            self._turn()
        left = sum(1 for c in self.active_channels.values() if c.requests)
        if left:
            log.warning("leaving %d requests without an answer; their photos are safe", left)

    def end(self) -> None:
        """Closes every connection and lets the idle threads go; for who lives on after a stop."""
        self.task_dispatcher.shutdown(timeout=1)
        close_all(self._map, ignore_all=True)

    def _turn(self) -> None:
        loop(timeout=0.25, use_poll=True, map=self._map, count=1)

    def _stop_accepting(self) -> None:
        self.accepting = False
        self.del_channel()
        self.socket.close()

    def _busy(self) -> bool:
        channels = list(self.active_channels.values())
        return any(c.requests or c.total_outbufs_len for c in channels)


def _allow_files(wanted: int) -> None:
    """Raises this process's limit of open files as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < goal:
        resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    if goal < wanted:
        log.warning("only %d open files allowed, %d wanted: fewer clients can wait", goal, wanted)
