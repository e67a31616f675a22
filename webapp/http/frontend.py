"""The ASGI application: admits a request by its head, receives its body, calls Flask in a thread.

A slow client costs a connection and some bytes of the spool, never a thread. A request that waits
for its answer costs a thread; threads are started when they are needed.
"""

import asyncio
import logging
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.wsgi import ClosingIterator

from facerec_tasks.errors import AwsError
from webapp.http import errors, request_head
from webapp.http.connection import Connection
from webapp.http.errors import Problem
from webapp.http.gate import Admission, Gate
from webapp.http.rendering import REQUEST_ID, SECURITY_HEADERS, refusal_response
from webapp.http.request_head import RequestHead
from webapp.http.spool import Body, Spool

log = logging.getLogger(__name__)

Direct = Callable[[RequestHead], tuple[str, bytes]]
"""Media type and body of a route that is answered in the event loop, whatever the threads do."""


@dataclass
class Exchange:
    """One request and what is known of its response, for the access log and the metrics."""

    head: RequestHead
    request_id: str
    began: float = field(default_factory=time.monotonic)
    rule: str = "none"
    key_id: str = ""
    status: int = 0
    outcome: str = "ok"
    received: int = 0
    sent: int = 0


Observer = Callable[[Exchange], None]


@dataclass(frozen=True)
class Frontend:
    """One per listening socket."""

    wsgi: Any
    gate: Gate
    spool: Spool
    threads: ThreadPoolExecutor
    observe: Observer
    direct: Mapping[str, Direct]
    trusted: tuple[IPv4Network | IPv6Network, ...] = ()
    prefix: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        head = self._head(scope)
        given = head.headers.get("x-request-id", "")
        identifier = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        exchange = Exchange(head, identifier)
        connection: Connection = scope["connection"]
        body: Body | None = None
        try:
            admission = await self._admit(head, exchange)
            direct = self.direct.get(admission.rule)
            if direct is not None and head.method == "GET":
                await self._send_direct(direct, exchange, send)
                return
            body = Body(self.spool, head.client, head.content_length, admission.max_body)
            await body.receive(receive)
            exchange.received = body.size
            await self._respond(scope, send, exchange, admission, body, connection)
        except EOFError:
            exchange.status, exchange.outcome = 499, "client-gone"
        except Exception as error:  # noqa: BLE001 - each becomes a response
            found = errors.of_exception(error)
            await self._refuse(found, exchange, connection, send)
        finally:
            if body is not None:
                body.close()
            self.observe(exchange)

    def _head(self, scope: Any) -> RequestHead:
        headers = request_head.joined(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        peer = scope["client"][0] if scope["client"] else None
        return request_head.of_request(
            scope["method"], scope["path"], headers, peer, self.trusted, self.prefix
        )

    async def _admit(self, head: RequestHead, exchange: Exchange) -> Admission:
        prefetch = self.gate.prefetch(head)
        if prefetch is not None:
            try:
                await asyncio.get_running_loop().run_in_executor(self.threads, prefetch)
            except AwsError:
                log.warning("API keys cannot be read now")  # the gate decides what needs them
        try:
            admission = self.gate.admit(head)
        except Problem:
            exchange.rule = self.gate.rule_of(head)
            raise
        exchange.rule, exchange.key_id = admission.rule, admission.key_id
        return admission

    async def _send_direct(self, direct: Direct, exchange: Exchange, send: Any) -> None:
        kind, body = direct(exchange.head)
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("X-Request-ID", exchange.request_id),
            *SECURITY_HEADERS.items(),
        ]
        exchange.status, exchange.sent = 200, len(body)
        await _send(send, 200, headers, body)

    async def _refuse(
        self, problem: Problem, exchange: Exchange, connection: Connection, send: Any
    ) -> None:
        exchange.status, exchange.outcome = problem.status, problem.code
        if not connection.body_complete:
            connection.refuse(problem, exchange.request_id)
            return
        accept = exchange.head.headers.get("accept", "")
        status, headers, body = refusal_response(problem, accept, exchange.request_id)
        exchange.sent = len(body)
        await _send(send, status, headers, body)

    async def _respond(
        self,
        scope: Any,
        send: Any,
        exchange: Exchange,
        admission: Admission,
        body: Body,
        connection: Connection,
    ) -> None:
        environ = _environ(scope, exchange, body, connection, admission)
        call = _WsgiCall(self.wsgi, environ, send, asyncio.get_running_loop(), connection)
        loop = asyncio.get_running_loop()
        rest = await loop.run_in_executor(self.threads, call.run)
        exchange.status, exchange.sent = call.status, call.sent
        exchange.outcome = environ.get("facerec.outcome", "ok")
        if rest is not None and not connection.is_gone:
            await send(call.start)
            await send({"type": "http.response.body", "body": rest})
            exchange.sent = len(rest)


async def _send(send: Any, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})


@dataclass
class _WsgiCall:
    """Flask's answer to one request, made in a thread."""

    wsgi: Any
    environ: dict[str, Any]
    send: Any
    loop: asyncio.AbstractEventLoop
    connection: Connection
    status: int = 0
    sent: int = 0
    start: dict[str, Any] = field(default_factory=dict)
    has_length: bool = False

    def run(self) -> bytes | None:
        """The whole body, or ``None`` when its pieces have been sent as they came."""
        with closing(ClosingIterator(self.wsgi(self.environ, self._start_response))) as found:
            if self.has_length or self.status in (204, 304):
                return b"".join(found)
            self._stream(found)
            return None

    def _start_response(self, status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        self.status = int(status.split(" ", 1)[0])
        encoded = _encoded(headers)
        names = {name for name, _ in encoded}
        self.has_length = b"content-length" in names
        encoded += [header for header in _SECURITY_HEADERS if header[0] not in names]
        self.start = {"type": "http.response.start", "status": self.status, "headers": encoded}

    def _stream(self, pieces: Iterable[bytes]) -> None:
        self._wait(self.start)
        for piece in pieces:
            if self.connection.is_gone:
                return
            if piece:
                self.sent += len(piece)
                self._wait({"type": "http.response.body", "body": piece, "more_body": True})
        self._wait({"type": "http.response.body", "body": b""})

    def _wait(self, message: dict[str, Any]) -> None:
        """Sends from this thread; slow clients slow it down."""
        asyncio.run_coroutine_threadsafe(self.send(message), self.loop).result()


def _environ(
    scope: Any, exchange: Exchange, body: Body, connection: Connection, admission: Admission
) -> dict[str, Any]:
    """PEP 3333, with what the gate found out below ``facerec.``."""
    head = exchange.head
    path = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
    path = request_head.below_prefix(path, head.prefix)
    server = scope["server"] or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": head.prefix,
        "PATH_INFO": path,
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": head.client,
        "CONTENT_LENGTH": str(body.size),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": head.scheme,
        "wsgi.input": body.open(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "facerec.admission": admission,
        "facerec.body": body,
        "facerec.request_id": exchange.request_id,
        "facerec.client_gone": lambda: connection.is_gone,
    }
    for name, value in head.headers.items():
        if name == "content-type":
            environ["CONTENT_TYPE"] = value
        elif name not in ("content-length", "transfer-encoding"):
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    environ["HTTP_HOST"] = head.host
    return environ


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


_SECURITY_HEADERS = _encoded(list(SECURITY_HEADERS.items()))
