"""Asks the web tier as its server does, by its frontend and gate, but without a socket."""

import asyncio
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

from werkzeug.test import EnvironBuilder, TestResponse

from webapp.http.application import WebApplication


class AsgiClient:
    def __init__(self, application: WebApplication, address: str = "127.0.0.1") -> None:
        self._frontend = application.frontend(4)
        self._address = address

    def open(self, path: str, **given: Any) -> TestResponse:
        """As Flask's test client."""
        request = EnvironBuilder(path, **given)
        environ = request.get_environ()
        body = environ["wsgi.input"].read()
        names = {name: name.removeprefix("HTTP_") for name in environ if name.startswith("HTTP_")}
        names |= {name: name for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if name in environ}
        scope = {
            "type": "http",
            "method": request.method,
            "http_version": "1.1",
            "path": request.path,
            "raw_path": path.partition("?")[0].encode(),
            "query_string": request.query_string.encode(),
            "headers": [
                (short.lower().replace("_", "-").encode(), environ[name].encode("latin-1"))
                for name, short in names.items()
            ],
            "client": (self._address, 9),
            "server": ("localhost", 80),
            "connection": SimpleNamespace(body_complete=True, is_gone=False),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self._frontend(scope, receive, send))
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in sent[0]["headers"]]
        data = b"".join(message["body"] for message in sent[1:])
        return TestResponse([data], str(sent[0]["status"]), headers, request.get_request())

    get = partialmethod(open, method="GET")
    post = partialmethod(open, method="POST")
    put = partialmethod(open, method="PUT")
