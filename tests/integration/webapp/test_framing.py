"""Malformed and ambiguous requests (RFC 9112): refused, and nothing after them is answered."""

from collections.abc import Iterator

import pytest

from .small_server import HEAD, Serving, serving

SMUGGLED = b"GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def web() -> Iterator[Serving]:
    with serving() as one:
        yield one


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     400, id="CL.TE"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
                     400, id="TE.CL"),
        pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n", 501, id="unknown coding"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, id="gzip"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
                     400, id="two codings"),
        pytest.param(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, id="two CL"),
        pytest.param(HEAD + b"Content-Length: +5\r\n\r\nabcde", 400, id="signed CL"),
        pytest.param(HEAD + b"Content-Length: 0x5\r\n\r\nabcde", 400, id="hexadecimal CL"),
        pytest.param(HEAD + b"Content-Length : 5\r\n\r\nabcde", 400, id="blank before colon"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400,
                     id="chunk size 0x1"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400,
                     id="bare LF in chunk"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET / HTTP/1.1\nHost: localhost\n\n", 400, id="bare LF"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400, id="folding"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\x00c\r\n\r\n", 400, id="NUL"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400, id="version"),
        pytest.param(b"NONSENSE\r\n\r\n", 400, id="nonsense"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 40_000 + b"\r\n\r\n",
                     431, id="40 kB header"),
        pytest.param(b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431,
                     id="40 kB target"),
        # Kinds of aws/http-desync-guardian, gunicorn's parser tests and h1spec, in our own words.
        pytest.param(HEAD + b"Content-Length: 5, 5\r\n\r\nabcde", 400, id="list of CL"),
        pytest.param(HEAD + b"Content-Length: 5 5\r\n\r\nabcde", 400, id="two numbers in CL"),
        pytest.param(HEAD + b"Content-Length:\r\n\r\n", 400, id="empty CL"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", 400, id="negative CL"),
        pytest.param(HEAD + b"Content-Length: 5\x0b\r\n\r\nabcde", 400, id="CL with VT"),
        pytest.param(HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n", 400,
                     id="CL overflows"),
        pytest.param(HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400,
                     id="TE with VT"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400,
                     id="chunked twice"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501,
                     id="TE parameter"),
        pytest.param(HEAD + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400, id="empty TE"),
        pytest.param(HEAD + b"Transfer-Encoding\x00: chunked\r\n\r\n0\r\n\r\n", 400,
                     id="NUL in name"),
        pytest.param(HEAD + b"Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n", 400,
                     id="name cut"),
        pytest.param(HEAD + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
                     id="blank before name"),
        pytest.param(HEAD + b"A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
                     id="bare CR"),
        pytest.param(HEAD + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", 400,
                     id="two Content-Types"),
        pytest.param(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
                     id="chunked in 1.0"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400,
                     id="negative chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\na\r\n", 400,
                     id="chunk overflows"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", 400,
                     id="chunk too long"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;a\rb\r\na\r\n0\r\n\r\n", 400,
                     id="CR in chunk extension"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n", 400,
                     id="blank before chunk size"),
        pytest.param(b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400,
                     id="Host is not the target's"),
        pytest.param(b"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n", 400, id="blank after version"),
        pytest.param(b"GET / \r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, id="lower case method"),
        pytest.param(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n", 400,
                     id="CONNECT"),
    ],
)  # fmt: skip
def test_malformed_framing_is_refused_and_closes(
    web: Serving, request_: bytes, status: int
) -> None:
    answer = web.exchange(request_ + SMUGGLED)
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert answer.count("HTTP/1.1 ") == 1, "nothing after it is answered"
    for header in ("x-request-id: ", "x-content-type-options: nosniff", "connection: close"):
        assert header in head.lower()
    assert body.count("\n") == 1


def test_trailers_and_names_with_underscores_are_no_headers(web: Serving) -> None:
    """Trailers that come with the body must not change what the gate has seen."""
    request = (
        HEAD + b"Transfer-Encoding: chunked\r\nContent_Type: image/a\r\nConnection: close\r\n\r\n"
        b"5\r\nhello\r\n0\r\nHost: evil.example\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    )
    assert web.exchange(request).endswith("\r\n\r\n5")
    head = web.seen[-1].head
    assert head.host == "localhost"
    assert not head.headers.keys() & {"x-forwarded-for", "content_type", "content-type"}


@pytest.mark.parametrize(
    "host", ["[", "[::1", "evil.example", "/", "a b", "localhost@evil.example"]
)
def test_unreadable_and_foreign_hosts_are_refused(web: Serving, host: str) -> None:
    request = f"GET /secret HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    assert web.exchange(request).startswith("HTTP/1.1 421 ")


def test_unreadable_origin_is_refused(web: Serving) -> None:
    request = HEAD + b"Origin: http://[\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert web.exchange(request).startswith("HTTP/1.1 403 ")
