"""One HTTP/1.1 connection: uvicorn's protocol on llhttp, with limits and strict framing.

What uvicorn leaves open is here: deadlines for a request's head, limits of connections with an
eviction in constant time, the rules of RFC 9112 about framing that llhttp does not check, and a
refusal that is read by the client although its body is still on the way.
"""

import asyncio
import email.utils
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webapp.http.errors import Problem
from webapp.http.rendering import refusal_response

MAX_HEAD = 32 * 1024
"""Bytes of request line and headers."""
HEAD_TIMEOUT = 20.0
"""Seconds from the connection, or from the first byte of a request, to the end of its head."""
IDLE_TIMEOUT = 75.0
"""Seconds a connection may be idle between requests."""
SINGLE = (b"content-type", b"authorization", b"x-amz-target")
"""Headers that are no lists: two of them mean something else to a proxy than to us."""
LINGER_SECONDS, LINGER_BYTES = 5.0, 8 * 1024 * 1024
"""After a refusal the rest of a body is read and dropped: closing at once would reset the
connection, and the client would never read why (RFC 9112, 9.6)."""


class ConnectionTable:
    """The connections of one listening socket; for the thread of its event loop."""

    def __init__(
        self,
        limit: int,
        per_address: int,
        *,
        is_exempt: Callable[[str], bool] = lambda _: False,
        refused: Callable[[Problem, str], None] = lambda *_: None,
        head_timeout: float = HEAD_TIMEOUT,
    ) -> None:
        """``refused`` is called for each request that never reaches the application."""
        self._limit = limit
        self._per_address = per_address
        self._is_exempt = is_exempt
        self.refused = refused
        self._head_timeout = head_timeout
        self.draining = False
        """Set when the server stops: each connection ends with its next response."""
        self._count = 0
        self._addresses: Counter[str] = Counter()
        # Each ordered by the time of entry, so the longest idle one comes first.
        self._idle: OrderedDict[Connection, float] = OrderedDict()
        self._receiving: OrderedDict[Connection, float] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def add(self, connection: "Connection", address: str) -> bool:
        """Whether it may stay. At the limit the longest idle one makes room."""
        over = self._addresses[address] >= self._per_address and not self._is_exempt(address)
        if over or (self._count >= self._limit and not self._evict()):
            return False
        self._count += 1
        self._addresses[address] += 1
        return True

    def remove(self, connection: "Connection", address: str) -> None:
        self._idle.pop(connection, None)
        self._receiving.pop(connection, None)
        self._count -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def idle(self, connection: "Connection", now: float) -> None:
        """Between two requests."""
        self._receiving.pop(connection, None)
        self._idle[connection] = now

    def receiving(self, connection: "Connection", now: float) -> None:
        """The head of a request is expected, or has begun."""
        self._idle.pop(connection, None)
        self._receiving.setdefault(connection, now)

    def busy(self, connection: "Connection") -> None:
        """The head is complete: the request's own limits hold from here on."""
        self._idle.pop(connection, None)
        self._receiving.pop(connection, None)

    def _evict(self) -> bool:
        for table in (self._receiving, self._idle):
            if table:
                connection, _ = table.popitem(last=False)
                connection.abort()
                return True
        return False

    def sweep(self, now: float) -> None:
        """Ends what has been too slow or idle for too long; costs nothing for the others."""
        for table, timeout, end in (
            (self._receiving, self._head_timeout, Connection.time_out),
            (self._idle, IDLE_TIMEOUT, Connection.close),
        ):
            while table:
                connection, since = next(iter(table.items()))
                if now - since <= timeout:
                    break
                del table[connection]
                end(connection)


class Connection(HttpToolsProtocol):
    """``table`` is set on a subclass for each listening socket: uvicorn calls the constructor."""

    table: ConnectionTable

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._head_bytes = 0
        self._in_head = True
        self._was_used = False
        self._lingering = False
        self._lingered = 0
        self._counted = self.table.add(self, self.address)
        if self._counted:
            self.table.receiving(self, self.loop.time())
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted:
            self._counted = False
            self.table.remove(self, self.address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.flow is None:
            self.flow, self.pipeline = FlowControl(self.transport), deque()
        if self._lingering:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.close()
            return
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # not supported, so it is ignored (RFC 9110, 7.8)
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__ or error.__cause__
            self.refuse(reason if isinstance(reason, Problem) else _malformed(reason or error))
        except httptools.HttpParserError as error:
            self.refuse(_malformed(error))
        else:
            if self._in_head and self._head_bytes > MAX_HEAD:
                self.refuse(_head_too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if self.cycle is None or self.cycle.response_complete:
            self.table.receiving(self, self.loop.time())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Not trailers, which must not become headers (RFC 9110, 6.5.1); nor names with ``_``,
        which WSGI cannot tell from those with ``-``: the gate would see another request."""
        if self._in_head and b"_" not in name:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self.table.busy(self)
        self._check_framing()
        self.scope["connection"] = self  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        if self.table.draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()  # the table has the deadline
            self.table.idle(self, self.loop.time())
            if not self.cycle.more_body and not self.transport.get_write_buffer_size():
                self._forget_request()

    def _forget_request(self) -> None:
        """An idle connection keeps nothing of its last request: 10,000 of them may be open."""
        self._was_used = True
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]
        self.flow = self.pipeline = None  # type: ignore[assignment]

    def _check_framing(self) -> None:
        """RFC 9112, 3.2 and 6.1; raises :class:`Problem`."""
        if len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD:
            raise _head_too_large()
        names = Counter(name for name, _ in self.headers)
        if any(names[name] > 1 for name in SINGLE):
            raise Problem("bad-request", "a header that is allowed once came twice")
        version = self.parser.get_http_version()
        if names[b"host"] > 1 or (names[b"host"] == 0 and version != "1.0"):
            raise Problem("bad-request", "exactly one Host header is needed")
        scheme, _, rest = self.url.partition(b"://")
        hosts = [value.lower() for name, value in self.headers if name == b"host"]
        if scheme.isalpha() and rest and rest.partition(b"/")[0].lower() not in hosts:
            raise Problem("bad-request", "Host is not that of the request's target")
        if names[b"transfer-encoding"]:
            codings = b",".join(v for n, v in self.headers if n == b"transfer-encoding")
            if codings.strip().lower() != b"chunked":
                raise Problem("unknown-coding", "the only transfer coding taken is chunked")
            if version == "1.0":
                raise Problem("bad-request", "HTTP/1.0 has no transfer codings")

    # Ends

    def refuse(self, problem: Problem, request_id: str | None = None) -> None:
        """Answers and closes, although the body has not come. The client has a while to read it."""
        if self.transport.is_closing() or self._lingering:
            return
        status, headers, body = refusal_response(problem, self._accept(), request_id)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"date: {email.utils.formatdate(usegmt=True)}", "connection: close", "", ""]
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write("\r\n".join(lines).encode("latin-1") + body)
            self.table.refused(problem, self.address)
        self.linger()

    def linger(self) -> None:
        """Reads and drops what still comes, for a while."""
        self._lingering = True
        self.table.busy(self)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.close)

    def _accept(self) -> str:
        found = [v for n, v in self.headers or () if n == b"accept"]
        return found[0].decode("latin-1") if found else ""

    def time_out(self) -> None:
        """The head did not come in time. A connection that sent nothing is closed silently."""
        if self._head_bytes:
            self.refuse(Problem("too-slow", "the request's head did not come in time"))
        else:
            self.close()

    def close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    @property
    def is_fresh(self) -> bool:
        """Whether its first request is still to come. To close it would refuse that request."""
        unused = self.cycle is None and not self._was_used
        return unused and not self._lingering and not self.is_gone

    @property
    def is_active(self) -> bool:
        """Whether a response is owed or being sent."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_gone(self) -> bool:
        return self.transport.is_closing()

    @property
    def body_complete(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body


def connection_class(table: ConnectionTable) -> type[Connection]:
    """A class of connections that are counted in that table."""
    return type("Connection", (Connection,), {"table": table})


def _malformed(error: Any) -> Problem:
    return Problem("bad-request", f"malformed HTTP: {str(error)[:100] or 'not readable'}")


def _head_too_large() -> Problem:
    return Problem("head-too-large", f"request line and headers have more than {MAX_HEAD} bytes")
