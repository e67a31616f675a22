"""An AWS that throttles and lies: a proxy between a controller and the emulator."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import urllib3

Rule = Callable[[str], str | None]
"""Name of an action -> ``throttled`` (nothing is done), ``lost`` (done, and no answer comes),
``late`` (an answer of before), or none."""

_THROTTLED = b"""<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error>
<Code>RequestLimitExceeded</Code><Message>test</Message></Error></Errors></Response>"""
_HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}


class Between:
    """Forwards everything to the emulator, except for what its rule spoils."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._http = urllib3.PoolManager(maxsize=20, retries=False, timeout=30)
        self._answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self._rng = random.Random(1)
        self.rule: Rule = lambda action: None
        self.url = ""
        self.spoiled: Counter[str] = Counter()

    def answer(self, request: BaseHTTPRequestHandler, method: str) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        action = _action(request, method, body)
        fault = self.rule(action)
        self.spoiled[fault or ""] += 1
        if fault == "throttled":
            _send(request, 503, {"Content-Type": "text/xml"}, _THROTTLED)
            return
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        found = self._http.request(
            method, self._target + request.path, body=body, headers=headers, decode_content=False
        )
        kept = {k: v for k, v in found.headers.items() if k.lower() not in _HOP}
        answers = self._answers.setdefault(action, [])
        answers.append((found.status, kept, found.data))
        del answers[:-6]
        if fault == "lost":
            request.close_connection = True
            request.connection.close()
        else:
            _send(request, *(self._rng.choice(answers) if fault == "late" else answers[-1]))


def _action(request: BaseHTTPRequestHandler, method: str, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rsplit(".", 1)[1]
    if method == "POST":
        return parse_qs(body.decode(errors="replace")).get("Action", ["?"])[0]
    return f"S3.{method}"


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def between(target: str) -> Iterator[Between]:
    """A proxy before ``target`` on a port of its own."""
    proxy = Between(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (OSError, ValueError):  # one of the two has hung up
                self.close_connection = True

        def _any(self) -> None:
            proxy.answer(self, self.command)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

        def log_message(self, *_: Any) -> None:
            """Silence."""

    class SimulatedMachine(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A connection that was closed on purpose."""

    with SimulatedMachine(("127.0.0.1", 0), Handler) as server:
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield proxy
        server.shutdown()
        thread.join()
