"""The HTTP server with a small application: decisions, slow clients, limits, the drain."""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import urllib3

from webapp.http import spool as spooling

from .small_server import HEAD, Serving, closed, serving


def test_pipelined_requests_are_answered_in_order() -> None:
    with serving() as web:
        one = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = web.exchange(one + one + last)
        assert [answer.count(word) for word in ("done", "secret")] == [2, 1]


def test_method_not_allowed_and_head() -> None:
    with serving() as web:
        refused = urllib3.request("PUT", f"http://127.0.0.1:{web.port}/")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        head = urllib3.request("HEAD", f"http://127.0.0.1:{web.port}/")
        assert (head.status, head.data, head.headers["content-length"]) == (200, b"", "4")


def test_direct_route_is_answered_while_all_threads_wait(eventually: Callable[..., None]) -> None:
    with serving(direct={"/secret": lambda _: ("text/plain", b"at once")}) as web:
        waiting = [web.connect() for _ in range(8)]
        for one in waiting:
            one.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: web.busy == 8)
        answer = web.get("/secret")
        assert (answer.data, answer.headers["x-content-type-options"]) == (b"at once", "nosniff")
        web.release.set()
        for one in waiting:
            assert b"200 OK" in one.recv(65536)
            one.close()


# Decisions before the body


def test_api_key_is_checked_before_the_body() -> None:
    """The upload never comes, and the client is not asked for it."""
    with serving(keys=True) as web:
        head = HEAD + b"Content-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
        answer = web.exchange(head)
        assert answer.startswith("HTTP/1.1 401 ")
        assert "100 Continue" not in answer
        assert web.spool.used == 0


def test_refusal_is_read_by_a_client_that_keeps_sending() -> None:
    """Closing with unread bytes would reset the connection and lose the answer."""
    with serving(keys=True) as web:
        body = b"x" * 5_000_000
        answer = urllib3.request("POST", f"http://127.0.0.1:{web.port}/", body=body, retries=False)
        assert answer.status == 401


def test_too_large_is_refused_before_it_is_received() -> None:
    with serving() as web:
        head = HEAD + b"Accept: application/json\r\nContent-Length: 99999999\r\n\r\n"
        answer = web.exchange(head)
        assert answer.startswith("HTTP/1.1 413")
        assert json.loads(answer.partition("\r\n\r\n")[2])["code"] == "too-large"


def test_chunked_body_beyond_the_limit_is_refused() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    with serving() as web:
        url = f"http://127.0.0.1:{web.port}/"
        with suppress(urllib3.exceptions.HTTPError):
            answer = urllib3.request("POST", url, body=endless(), retries=False)
            assert answer.status == 413
        assert web.seen[-1].outcome == "too-large"
        assert web.seen[-1].received < 11_000_000


def test_spool_is_bounded_in_total_and_per_client(eventually: Callable[..., None]) -> None:
    limits = {"spool_bytes": 5_000_000, "spool_bytes_per_client": 5_000_000}
    with serving(**limits) as web:
        held = [web.connect() for _ in range(2)]
        for one in held:
            one.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
        eventually(lambda: web.spool.used == 4_000_000)
        answer = web.exchange(HEAD + b"Content-Length: 1000000\r\n\r\n")
        assert answer.startswith("HTTP/1.1 503")
        assert "retry-after: " in answer.lower()
        small = urllib3.request("POST", f"http://127.0.0.1:{web.port}/", body=b"x" * 100_000)
        assert small.data == b"100000", "others' photos still pass"
        for one in held:
            one.close()
        eventually(lambda: web.spool.used == 0)


def test_full_disk_is_507_and_small_photos_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(tempfile.SpooledTemporaryFile):  # type: ignore[type-arg]
        def rollover(self) -> None:
            raise OSError(28, "No space left on device")

    with serving() as web:
        monkeypatch.setattr(web.spool, "file", Full)
        url = f"http://127.0.0.1:{web.port}/"
        large = urllib3.request("POST", url, body=b"x" * 2_000_000, retries=False)
        assert (large.status, large.data.split(b":")[0]) == (507, b"storage-full")
        assert urllib3.request("POST", url, body=b"x" * 50_000).status == 200
        assert web.spool.used == 0


# Slow clients


def test_slow_head_times_out_and_others_are_served(eventually: Callable[..., None]) -> None:
    with serving(head_timeout=1.0) as web:
        slow = [web.connect() for _ in range(20)]
        for one in slow:
            one.sendall(b"GET / HT")

        def all_closed() -> bool:
            for one in slow:
                with suppress(OSError):
                    one.sendall(b"T")
            return all([closed(one) for one in slow])

        assert web.get().data == b"done"
        eventually(all_closed, within=10)
        for one in slow:
            one.close()


def test_steady_slow_upload_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slower than any fixed deadline, but above the floor of progress."""
    monkeypatch.setattr(spooling, "FLOOR_SECONDS", 0.5)
    monkeypatch.setattr(spooling, "FLOOR_BYTES", 1000)
    with serving() as web, web.connect() as client:
        client.sendall(HEAD + b"Connection: close\r\nContent-Length: 20000\r\n\r\n")
        for _ in range(20):
            client.sendall(b"x" * 1000)
            time.sleep(0.1)
        with client.makefile("rb") as stream:
            assert stream.read().endswith(b"\r\n\r\n20000")


def test_stalled_upload_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "FLOOR_SECONDS", 0.5)
    with serving() as web:
        began = time.monotonic()
        answer = web.exchange(HEAD + b"Content-Length: 20000\r\n\r\nslow")
        assert answer.startswith("HTTP/1.1 408 ")
        assert "too-slow: " in answer
        assert time.monotonic() - began < 5
        assert web.spool.used == 0


# Connections


def test_at_the_connection_limit_the_longest_idle_makes_room() -> None:
    with serving(limit=50) as web:
        idle = []
        for _ in range(120):
            one = web.connect()
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"done" in one.recv(4096)
            idle.append(one)
        assert web.get().data == b"done"
        assert sum(closed(one) for one in idle[:60]) == 60, "the oldest went first"
        for one in idle:
            one.close()


def test_connections_per_address_are_limited(eventually: Callable[..., None]) -> None:
    with serving(per_address=10) as web:
        mine = [web.connect() for _ in range(30)]
        eventually(lambda: sum(closed(one) for one in mine) == 20)
        for one in mine:
            one.close()
        eventually(lambda: _answers(web))


def test_kept_connection_is_not_slow() -> None:
    with serving(head_timeout=0.2) as web, web.connect() as kept:
        for _ in range(2):
            kept.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"done" in kept.recv(4096)
            time.sleep(2.0)  # longer than the deadline of a head and the sweep


def _answers(web: Serving) -> bool:
    with suppress(urllib3.exceptions.HTTPError):
        return web.get().status == 200
    return False


# The drain


def test_drain_answers_waiting_requests_and_accepts_no_more(
    eventually: Callable[..., None],
) -> None:
    with serving() as web:
        answers: list[bytes] = []
        waiting = threading.Thread(target=lambda: answers.append(web.get("/wait").data))
        waiting.start()
        eventually(lambda: web.busy == 1)
        web.server.stop()

        def refused() -> bool:
            try:
                web.connect().close()
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:
                return False
            return False

        eventually(refused)
        assert web.thread.is_alive()
        web.release.set()
        waiting.join(timeout=5)
        assert answers == [b"waited"]
        web.thread.join(timeout=5)
        assert not web.thread.is_alive()


def test_drain_ends_at_its_timeout(eventually: Callable[..., None]) -> None:
    with serving(drain_timeout=0.5) as web, web.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: web.busy == 1)
        web.server.stop()
        web.thread.join(timeout=5)
        assert not web.thread.is_alive()
