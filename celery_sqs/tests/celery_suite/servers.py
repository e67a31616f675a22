"""Servers of one run: Redis, and an emulated AWS. Runs go side by side, each with its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
HOST = "127.0.0.1"


class ServerMissing(RuntimeError):
    """Raised when a server program is not installed on this machine."""


def require_redis() -> str:
    """The program. Raises :class:`ServerMissing`."""
    program = shutil.which("redis-server")
    if program is None:
        raise ServerMissing("redis-server is not installed (Debian: apt-get install redis-server)")
    return program


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """A Redis that keeps nothing; gives its port. Raises :class:`ServerMissing`."""
    program = require_redis()
    port = free_port()
    command = (program, "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no")
    with _served((*command, "--dir", str(folder)), port, folder / f"redis-{port}.log"):
        yield port


@contextmanager
def aws_server(folder: Path) -> Iterator[int]:
    """An AWS in memory; gives its port."""
    port = free_port()
    command = (sys.executable, "-m", "celery_sqs.testing", "--port", str(port))
    with _served(command, port, folder / f"aws-{port}.log"):
        yield port


def free_port() -> int:
    """A port of this machine that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _served(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ)
    try:
        _await(port, server, log)
        yield
    finally:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{log.name}: the server does not start: {log.read_text()[-500:]}")
