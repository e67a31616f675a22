"""Passes bytes on and notes which AWS calls they are: ``counting_proxy UPSTREAM LOG``."""

import asyncio
import re
import sys
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

CHUNK = 65536
_TARGET = re.compile(rb"\r\nx-amz-target: *Amazon(SQS)\.(\w+)", re.IGNORECASE)
_QUERY = re.compile(rb"(?:^|&|\n)Action=(\w+)")
_REST = re.compile(rb"(?:^|\r\n)(GET|PUT|HEAD|DELETE) /[^ ]* HTTP/1\.1\r\n")


class Counter:
    """Writes a line for each call found in what clients send."""

    def __init__(self, log: TextIO) -> None:
        self._log = log

    def see(self, sent: bytes) -> None:
        for service, kind in _TARGET.findall(sent):
            self._note(f"{service.decode().lower()}.{kind.decode()}")
        for kind in _QUERY.findall(sent):
            self._note(f"sns.{kind.decode()}")
        for method in _REST.findall(sent):
            self._note(f"s3.{method.decode().title()}Object")

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
