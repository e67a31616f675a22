"""An AWS that misbehaves: a proxy before the emulator that spoils answers at the wire.

Faults belong here and not into botocore: what matters is what real sockets do.
"""

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import urllib3

Rule = Callable[[str], str | None]
"""Name of an action, such as ``ReceiveMessage`` or ``s3.PUT`` -> name of a fault, or none."""

ERRORS = {
    "throttled": (400, "RequestThrottled"),
    "expired": (403, "ExpiredToken"),
    "too soon": (400, "com.amazonaws.sqs#QueueDeletedRecently"),
    "broken": (500, "InternalFailure"),
    "unavailable": (503, "ServiceUnavailable"),
    "forbidden": (403, "AuthorizationError"),
}
FAULTS = ("throttled", "expired", "broken", "unavailable", "dropped", "garbage")
LATE = 5.0
"""Seconds of the fault ``late``, unless the proxy's ``late`` says otherwise."""


NOT_PASSED = {"connection", "date", "server", "transfer-encoding", "keep-alive"}
"""Headers of an answer that the proxy gives itself."""


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
        self.refused_keys: set[str] = set()
        """Access keys that have expired."""
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

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST

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
        action = action_of(request, body)
        self.calls[action] += 1
        fault = self.rule(action)
        if any(key in request.headers.get("Authorization", "") for key in self.refused_keys):
            fault = "expired"
        if fault is not None:
            self.spoiled[fault] += 1
        if fault in ERRORS:
            is_query = "X-Amz-Target" not in request.headers
            answer(request, *_error(fault, action, is_query=is_query))
        elif fault == "garbage":
            answer(request, 200, b"<html>Welcome to this hotel's network</html>")
        elif fault == "dropped":
            with_no_answer(request.connection)
            request.close_connection = True
        elif fault == "cut":
            self.forward(request, body, cut=True)
        elif fault == "silent":
            time.sleep(3600)
        else:
            if fault == "late":
                time.sleep(self.late)
            self.forward(request, body)

    def forward(self, request: BaseHTTPRequestHandler, body: bytes, cut: bool = False) -> None:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "expect")}
        found = self._http.request(
            request.command,
            self._target + request.path,
            body=body,
            headers=headers,
            decode_content=False,
        )
        passed = {k: v for k, v in found.headers.items() if k.lower() not in NOT_PASSED}
        answer(request, found.status, found.data, passed, cut=cut)


def action_of(request: BaseHTTPRequestHandler, body: bytes) -> str:
    """Name of a call as a :data:`Rule` has it."""
    if "/s3/aws4_request" in request.headers.get("Authorization", ""):
        return "s3.LIST" if "list-type=" in request.path else f"s3.{request.command}"
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rsplit(".", 1)[1]
    return parse_qs(body.decode(errors="replace")).get("Action", ["?"])[0]


def _error(fault: str, action: str, *, is_query: bool) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers in the manner of the service."""
    status, code = ERRORS[fault]
    if action.startswith("s3."):
        code, status = ("SlowDown", 503) if fault == "throttled" else (code, status)
        xml = f"<Error><Code>{code}</Code><Message>test</Message></Error>"
        return status, xml.encode(), {"Content-Type": "application/xml"}
    if is_query and fault == "forbidden":
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>test</Message></Error>"
        xml = f"<ErrorResponse>{error}</ErrorResponse>"
        return status, xml.encode(), {"Content-Type": "text/xml"}
    return status, json.dumps({"__type": code, "message": "test"}).encode(), {}


def answer(
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    cut: bool = False,
) -> None:
    """``cut``: the connection breaks in the middle of the body."""
    given = {"Content-Type": "application/x-amz-json-1.0", "Content-Length": str(len(body))}
    request.send_response(status)
    for name, value in (given | dict(headers or {})).items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body[: len(body) // 2] if cut else body)
    if cut:
        with_no_answer(request.connection)
        request.close_connection = True


def with_no_answer(connection: socket.socket) -> None:
    """Breaks a connection."""
    with suppress(OSError):  # it may be broken already
        connection.shutdown(socket.SHUT_RDWR)


def often(share: float, *faults: str, actions: str = "", seed: int = 1) -> Rule:
    """A rule that spoils this share of calls, of the named actions only if there are any.

    ``s3.*`` names all of S3.
    """
    chance = random.Random(seed)

    def rule(action: str) -> str | None:
        named = "s3.*" if action.startswith("s3.") else action
        if actions and not {action, named} & set(actions.split()):
            return None
        return chance.choice(faults) if chance.random() < share else None

    return rule
