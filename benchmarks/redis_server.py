"""A Redis that keeps nothing, for the contender that runs Celery on it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.processes.child import Child
from local.processes.ports import free_port
from local.processes.readiness import is_up, listens

HOST = "127.0.0.1"
START_TIMEOUT = 30.0


def redis_program() -> str | None:
    """Path of ``redis-server``, or ``None`` when it is not installed."""
    return shutil.which("redis-server")


@contextmanager
def redis_server(program: str, directory: Path) -> Iterator[str]:
    """Runs it as a child process and gives its URL."""
    port = free_port()
    command = (program, "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no",
               "--dir", str(directory))  # fmt: skip
    with Child(command, log=directory / "redis.log") as child:
        if not is_up(child, lambda: listens(port), START_TIMEOUT):
            raise SystemExit("redis-server does not start")
        yield f"redis://{HOST}:{port}"
