"""The HTTP server with a small application, for the tests of what HTTP says."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from flask import Flask, request

from facerec_tasks.settings import Settings
from webapp.http.access import Access
from webapp.http.connection import ConnectionTable
from webapp.http.frontend import Direct, Exchange, Frontend
from webapp.http.gate import Gate, Route
from webapp.http.listening import listen
from webapp.http.server import WebServer
from webapp.http.spool import Spool
from webapp.services.keys import ApiKey, ApiKeys, make

KEY, TOKEN = make("test", ["recognize"], now=0.0)
ROUTES = {
    "upload": Route("recognize", 10_000_000, is_upload=True),
    "secret": Route("recognize"),
    "hello": Route(),
    "wait": Route(),
}


class KnownKeys(ApiKeys):
    def __init__(self, *known: ApiKey) -> None:
        self.known = known

    def find(self, token: str) -> ApiKey | None:
        return next((k for k in self.known if token == TOKEN), None)

    def exist(self) -> bool:
        return bool(self.known)

    def is_stale(self, token: str | None, pair: str | None = None) -> bool:
        return False


@dataclass
class Serving:
    server: WebServer
    spool: Spool
    release: threading.Event
    seen: list[Exchange]
    thread: threading.Thread
    app: Flask

    @property
    def busy(self) -> int:
        """Requests that wait in a thread, so far."""
        return int(self.app.extensions["busy"])

    @property
    def port(self) -> int:
        return self.server.address[1]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def exchange(self, data: bytes) -> str:
        """All that comes until the server closes."""
        with self.connect() as client:
            client.sendall(data)
            with client.makefile("rb") as stream:
                return stream.read().decode("latin-1")

    def get(self, path: str = "/") -> urllib3.BaseHTTPResponse:
        return urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=10)


def flask_app(release: threading.Event) -> Flask:
    app = Flask("small", static_folder=None)
    app.extensions["busy"] = 0

    def upload() -> str:
        return str(len(request.get_data()))

    def wait() -> str:
        app.extensions["busy"] += 1
        release.wait(20)
        return "waited"

    app.add_url_rule("/", "upload", upload, methods=["POST"])
    app.add_url_rule("/", "hello", lambda: "done", methods=["GET"])
    app.add_url_rule("/secret", "secret", lambda: "secret", methods=["GET", "POST"])
    app.add_url_rule("/wait", "wait", wait, methods=["GET"])
    return app


@contextmanager
def serving(
    *,
    keys: bool = False,
    limit: int = 1000,
    per_address: int = 1000,
    head_timeout: float = 20.0,
    drain_timeout: float = 5.0,
    direct: dict[str, Direct] | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    release = threading.Event()
    chosen = Settings(access="keys" if keys else "open", **settings)
    app = flask_app(release)
    spool = Spool(chosen)
    gate = Gate(chosen, Access(chosen, KnownKeys(KEY)), app.url_map, ROUTES)
    seen: list[Exchange] = []
    threads = ThreadPoolExecutor(8)
    frontend = Frontend(
        app, gate, spool, threads, seen.append, direct or {},
        trusted=chosen.trusted_proxies, prefix=chosen.url_prefix,
    )  # fmt: skip
    table = ConnectionTable(limit, per_address, head_timeout=head_timeout)
    server = WebServer(frontend, listen("127.0.0.1", 0), table, drain_timeout)
    thread = threading.Thread(target=server.run_until_stopped)
    thread.start()
    try:
        yield Serving(server, spool, release, seen, thread, app)
    finally:
        release.set()
        server.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()
        threads.shutdown()


def closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(65536) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
"""Beginning of an upload."""
