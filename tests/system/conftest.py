"""A whole system in its own processes, started from a shell as its users do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3

from local.processes.ports import free_port
from local.samples.portraits import sample_photo

READY = 120.0
"""Seconds; 7 on an idle machine."""
HOSTILE = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
}
"""A user's environment: nothing of it may be used."""


class System:
    """One ``facerec up`` in the background of a shell, where SIGINT is ignored."""

    facerec = str(Path(sys.executable).with_name("facerec"))

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port, self.aws_port, self.flower_port = (free_port() for _ in range(3))
        self.output = folder / "output"
        self.environment = {
            **os.environ,
            **HOSTILE,
            "FACEREC_STATE_DIR": str(folder / "state"),
            "PORT": str(self.port),
            "FACEREC_LOCAL_AWS_PORT": str(self.aws_port),
            "FACEREC_FLOWER_PORT": str(self.flower_port),
            "FACEREC_VISIBILITY_TIMEOUT": "5",  # what a killed worker held is soon back
            **environment,
        }
        self.process = self.start()

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with self.output.open("wb") as output:
                return subprocess.Popen(
                    command or (self.facerec, "up"),
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, ignored)

    def again(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Another ``facerec up``, expected to end by itself."""
        return subprocess.run(
            [self.facerec, "up"],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY
        while f"ready: http://127.0.0.1:{self.port}" not in self.lines:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def post(self) -> str:
        answer = urllib3.request(
            "POST",
            f"http://127.0.0.1:{self.port}/",
            fields={"inputFile": ("photo.jpg", sample_photo().data, "image/jpeg")},
            timeout=60,
            retries=False,
        )
        return f"{answer.status} {answer.data.decode().strip()}"

    def processes(self, part: str = "") -> dict[int, str]:
        """Pid and command line of every process of this system, children of children included."""
        mark = f"FACEREC_STATE_DIR={self.folder}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may end while we look
                if mark in (folder / "environ").read_bytes():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if command and part in command:
                        found[int(folder.name)] = command
        return found

    def kill(self, part: str) -> None:
        """kill -9 for the processes whose command line contains that."""
        victims = self.processes(part)
        assert victims, part
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., System]]:
    systems: list[System] = []

    def one(**environment: str) -> System:
        folder = tmp_path / f"up{len(systems)}"
        folder.mkdir()
        systems.append(System(folder, **environment))
        return systems[-1]

    yield one
    for system in systems:
        if system.process.poll() is None:
            os.killpg(system.process.pid, signal.SIGKILL)
        system.process.wait(10)
        for pid in system.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
