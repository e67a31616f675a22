"""The server with a small application of the test: dawdlers, refusals, the drain."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import urllib3

from facerec_tasks.settings import Settings
from local.processes.ports import free_port
from webapp.http.server import Server

release = threading.Event()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/wait":
        release.wait(20)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


@contextmanager
def serving(
    monkeypatch: pytest.MonkeyPatch, drain_timeout: float = 5.0, **limits: Any
) -> Iterator[tuple[Server, threading.Thread]]:
    release.clear()
    monkeypatch.setenv("PORT", str(free_port()))
    small = Settings(max_waiting=4, max_request_bytes=1000, max_video_upload_bytes=1000)
    server = Server(application, small, **limits)
    thread = threading.Thread(
        target=server.serve, kwargs={"draining": lambda: None, "drain_timeout": drain_timeout}
    )
    thread.start()
    try:
        yield server, thread
    finally:
        release.set()
        server.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()
        server.end()


def connect(server: Server) -> socket.socket:
    return socket.create_connection((server.effective_host, int(server.effective_port)), 5)


def url(server: Server, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.effective_port}{path}"


def everything(connection: socket.socket) -> str:
    """All that comes until the other side closes."""
    with connection.makefile("rb") as stream:
        return stream.read().decode()


def closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_a_client_that_drips_is_cut_off_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    with serving(monkeypatch, receive_timeout=1.0) as (server, _):
        dripping = [connect(server) for _ in range(20)]
        for one in dripping:
            one.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n")

        def drip() -> bool:
            for one in dripping:
                with suppress(OSError):  # cut off, as it should be
                    one.sendall(b".")
            return all(closed(one) for one in dripping)

        assert urllib3.request("GET", url(server), timeout=5).data == b"done"
        eventually(drip, within=10)
        for one in dripping:
            one.close()


def test_at_the_limit_the_slowest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, spare_connections=10) as (server, _):
        slow = [connect(server) for _ in range(40)]
        for one in slow:
            one.sendall(b"GET / HT")
        assert urllib3.request("GET", url(server), timeout=5).data == b"done"
        for one in slow:
            one.close()


def test_a_kept_connection_is_not_a_dawdler(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch, receive_timeout=0.2) as (server, _), connect(server) as kept:
        for _ in range(2):
            kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"done"):
                received += kept.recv(4096)
            time.sleep(1.5)  # longer than the deadline and the server's round of maintenance


def test_too_large_is_refused_before_it_is_received(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch) as (server, _), connect(server) as client:
        head = "POST / HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n"
        client.sendall(f"{head}Content-Length: 99999999\r\n\r\n".encode())
        answer = everything(client)
        assert answer.startswith("HTTP/1.1 413")
        assert "application/problem+json" in answer
        assert json.loads(answer.partition("\r\n\r\n")[2])["code"] == "too-large"


def test_nonsense_is_a_bad_request_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(monkeypatch) as (server, _), connect(server) as client:
        client.sendall(b"NONSENSE\r\n\r\n")
        head, _, body = everything(client).partition("\r\n\r\n")
        assert " 400 " in head.splitlines()[0]
        assert "x-request-id: " in head.lower()
        assert body.startswith("bad-request: ")
        assert body.count("\n") == 1


def test_a_stop_answers_who_waits_and_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    with serving(monkeypatch) as (server, thread):
        answers: list[bytes] = []
        waiting = threading.Thread(
            target=lambda: answers.append(urllib3.request("GET", url(server, "/wait")).data)
        )
        waiting.start()
        eventually(lambda: any(c.requests for c in list(server.active_channels.values())))
        server.stop()

        def refused() -> bool:
            try:
                connect(server).close()
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:  # the socket closes at this very moment: ask again
                return False
            return False

        eventually(refused)
        assert thread.is_alive()
        release.set()
        waiting.join(timeout=5)
        assert answers == [b"done"]
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_a_stop_waits_no_longer_than_it_was_told(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    with serving(monkeypatch, drain_timeout=0.5) as (server, thread), connect(server) as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: any(c.requests for c in list(server.active_channels.values())))
        server.stop()
        thread.join(timeout=3)
        assert not thread.is_alive()
