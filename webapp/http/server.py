"""The HTTP server: uvicorn on an inherited socket.

See docs/decisions/web-server.md for the comparison with other servers.
"""

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from webapp.http.connection import Connection, ConnectionTable, connection_class

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""A connection that was accepted just before the stop has so long to send its request."""
RESERVED_FILES = 200
"""Open files beside the connections: AWS, spool, metrics."""


class WebServer(uvicorn.Server):
    """One listening socket. :meth:`run_until_stopped` returns after :meth:`stop` and the drain."""

    def __init__(
        self,
        frontend: Any,
        listening: socket.socket,
        table: ConnectionTable,
        drain_timeout: float,
        *,
        draining: Callable[[], None] = lambda: None,
    ) -> None:
        """``draining`` is called in the event loop when no more connections are accepted."""
        self._listening = listening
        self.address: tuple[str, int] = listening.getsockname()[:2]
        """Host and port."""
        self._table = table
        self._drain_timeout = drain_timeout
        self._draining = draining
        super().__init__(
            uvicorn.Config(
                frontend,
                http=connection_class(table),
                ws="none",
                loop="uvloop",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=3600,  # the connection table closes idle ones
                callback_notify=self._sweep,
                timeout_notify=0,  # so once a second
            )
        )

    def stop(self) -> None:
        """Safe in a signal handler and from any thread."""
        self.should_exit = True

    def run_until_stopped(self) -> None:
        """Serves in this thread."""
        self.run(sockets=[self._listening])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's business, not a server's."""
        yield

    async def _sweep(self) -> None:
        self._table.sweep(asyncio.get_running_loop().time())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts no more, answers the requests at hand, closes the connections."""
        for server in self.servers:
            server.close()
        self._listening.close()
        self._draining()
        self._table.draining = True
        for connection in self._connections:
            if not connection.is_fresh:
                connection.shutdown()  # closes idle ones; the others after their response
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._active or (self._fresh and loop.time() < began + FRESH_SECONDS):
            if loop.time() > began + self._drain_timeout:
                break
            await asyncio.sleep(0.05)
        left = self._active
        if left:
            log.warning("%d requests end without an answer; their photos are stored", left)
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0)

    @property
    def _connections(self) -> list[Connection]:
        return [c for c in self.server_state.connections if isinstance(c, Connection)]

    @property
    def _fresh(self) -> bool:
        return any(connection.is_fresh for connection in self._connections)

    @property
    def _active(self) -> int:
        return sum(connection.is_active for connection in self._connections)


def allow_files(connections: int) -> None:
    """Raises this process's limit of open files as far as the system allows."""
    wanted = connections + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < goal:
        resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    if goal < wanted:
        log.warning("only %d open files allowed, %d wanted: fewer clients can wait", goal, wanted)
