"""Passes bytes on and notes which AWS calls they are: ``counting_proxy UPSTREAM LOG``."""

import asyncio
import re
import sys
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

CHUNK = 65536
_TOKEN = re.compile(
    rb"(?:^|\r\n)(?P<method>GET|PUT|HEAD|DELETE|POST) /[^ ]* HTTP/1\.1(?=\r\n)"
    rb"|\r\nx-amz-target: *AmazonSQS\.(?P<target>\w+)"
    rb"|Credential=[^/]+/\d+/[^/]+/(?P<service>\w+)/aws4_request"
    rb"|(?:^|&|\n)Action=(?P<action>\w+)",
    re.IGNORECASE,
)


class Counter:
    """Writes a line for each call found in what one connection's client sends."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._method = ""
        self._service = ""

    def see(self, sent: bytes) -> None:
        """Of each request: its method, the service it is signed for, and what tells the action."""
        for token in _TOKEN.finditer(sent):
            kind, found = str(token.lastgroup), token[str(token.lastgroup)].decode()
            if kind == "method":
                self._method = found
            elif kind == "target":
                self._note(f"sqs.{found}")
            elif kind == "action":
                self._note(f"{self._service}.{found}")
            else:
                self._service = found
                if found == "s3":
                    self._note(f"s3.{self._method.title()}Object")

    def _note(self, call: str) -> None:
        print(f"AWS {call} => 200", file=self._log, flush=True)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: Counter | None
) -> None:
    try:
        while chunk := await reader.read(CHUNK):
            if counter:
                counter.see(chunk)
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _serve(upstream: str, log: TextIO) -> None:
    target = urlsplit(upstream)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(_copy(reader, back, Counter(log)), _copy(there, writer, None))

    server = await asyncio.start_server(connect, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    upstream, log = sys.argv[1:]
    with Path(log).open("a") as file:
        asyncio.run(_serve(upstream, file))


if __name__ == "__main__":
    main()
