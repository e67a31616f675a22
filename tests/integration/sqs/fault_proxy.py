"""An AWS that misbehaves: a proxy before the emulator that spoils answers at the wire.

Faults belong here and not into botocore: what matters is what real sockets do.
"""

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import urllib3

Rule = Callable[[str], str | None]
"""Name of an action, such as ``ReceiveMessage`` -> name of a fault, or none."""

ERRORS = {
    "throttled": (400, "RequestThrottled"),
    "expired": (403, "ExpiredToken"),
    "too soon": (400, "com.amazonaws.sqs#QueueDeletedRecently"),
    "broken": (500, "InternalFailure"),
    "unavailable": (503, "ServiceUnavailable"),
}
FAULTS = ("throttled", "expired", "broken", "unavailable", "dropped", "garbage")
LATE = 5.0
"""Seconds of the fault ``late``, unless the proxy's ``late`` says otherwise."""


class FaultProxy:
    """Serves on a port of its own; ``rule`` decides about each call."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._http = urllib3.PoolManager(maxsize=50, retries=False, timeout=60)
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self._open: set[socket.socket] = set()
        self.rule: Rule = lambda action: None
        self.late = LATE
        self.calls: Counter[str] = Counter()
        self.spoiled: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Begins to listen, after an outage on the same port as before."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            allow_reuse_address = True

        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                proxy._open.add(self.connection)

            def finish(self) -> None:
                proxy._open.discard(self.connection)
                super().finish()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (OSError, ValueError, urllib3.exceptions.HTTPError):  # somebody hung up
                    self.close_connection = True

            def do_POST(self) -> None:
                proxy._serve(self)

            def log_message(self, *_: Any) -> None:
                """Silence."""

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """An outage: open connections break, new ones are refused."""
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in tuple(self._open):
            with_no_answer(connection)

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        action = _action(request, body)
        self.calls[action] += 1
        fault = self.rule(action)
        if fault is not None:
            self.spoiled[fault] += 1
        if fault in ERRORS:
            status, code = ERRORS[fault]
            _answer(request, status, json.dumps({"__type": code, "message": "test"}).encode())
        elif fault == "garbage":
            _answer(request, 200, b"<html>Welcome to this hotel's network</html>")
        elif fault == "dropped":
            with_no_answer(request.connection)
            request.close_connection = True
        elif fault == "silent":
            time.sleep(3600)
        else:
            if fault == "late":
                time.sleep(self.late)
            self._forward(request, body)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        found = self._http.request("POST", self._target + request.path, body=body, headers=headers)
        _answer(request, found.status, found.data, found.headers.get("Content-Type"))


def _action(request: BaseHTTPRequestHandler, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rsplit(".", 1)[1]
    return parse_qs(body.decode(errors="replace")).get("Action", ["?"])[0]


def _answer(
    request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str | None = None
) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind or "application/x-amz-json-1.0")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def with_no_answer(connection: socket.socket) -> None:
    """Breaks a connection."""
    with suppress(OSError):  # it may be broken already
        connection.shutdown(socket.SHUT_RDWR)


def often(share: float, *faults: str, actions: str = "", seed: int = 1) -> Rule:
    """A rule that spoils this share of calls, of the named actions only if there are any."""
    chance = random.Random(seed)

    def rule(action: str) -> str | None:
        if actions and action not in actions.split():
            return None
        return chance.choice(faults) if chance.random() < share else None

    return rule
