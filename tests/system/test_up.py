"""``facerec up`` from a shell's point of view: ready, robust, and gone without a trace."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3

from local.ports import free_port
from local.samples import probe

Wait = Callable[..., None]
FACEREC = str(Path(sys.executable).with_name("facerec"))
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
            **environment,
        }
        self.process = self.start()

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with self.output.open("wb") as output:
                return subprocess.Popen(
                    command or (FACEREC, "up"),
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
            [FACEREC, "up"],
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
            fields={"inputFile": ("photo.jpg", probe().data, "image/jpeg")},
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


def ended_without_a_trace(system: System) -> None:
    began = time.monotonic()
    system.process.wait(10)
    assert time.monotonic() - began < 10
    assert system.processes() == {}
    for port in (system.port, system.aws_port, system.flower_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


def test_it_answers_survives_kills_and_ends(start: Callable[..., System], eventually: Wait) -> None:
    system = start()
    system.wait_ready()
    answer, ready = system.lines[-2:]
    assert re.match(r"sample_00:Grace_Hopper\b", answer)
    assert ready == f"ready: http://127.0.0.1:{system.port}"
    urllib3.request("GET", f"http://127.0.0.1:{system.flower_port}/", retries=False, timeout=5)

    twice = system.again()
    assert twice.returncode == 1
    assert re.fullmatch(r"Error: facerec up runs already in \S+\n", twice.stderr)
    same_ports = system.again(FACEREC_STATE_DIR=str(system.folder / "other"))
    assert same_ports.returncode == 1
    assert same_ports.stderr.startswith(f"Error: port {system.port} (web) is taken")
    assert same_ports.stderr.count("\n") == 1
    assert system.post() == "200 photo:Grace_Hopper", "and neither disturbed it"

    for part in ("autoscale.controller", "celery -A facerec_tasks.worker", "-m webapp"):
        system.kill(part)
    eventually(lambda: system.processes("-m webapp"), within=10)
    eventually(lambda: answers(system), within=60)
    system.kill("local.hypervisor")
    assert system.post() == "200 photo:Grace_Hopper"

    os.kill(system.process.pid, signal.SIGINT)
    ended_without_a_trace(system)
    assert system.process.returncode == 0
    assert (system.folder / "state" / "logs" / "web.log").exists()


def answers(system: System) -> bool:
    try:
        return system.post() == "200 photo:Grace_Hopper"
    except urllib3.exceptions.HTTPError:
        return False


def test_a_killed_up_leaves_nothing_and_starts_again(
    start: Callable[..., System], eventually: Wait
) -> None:
    system = start()
    system.wait_ready()
    system.process.kill()
    system.process.wait(5)
    eventually(lambda: not system.processes(), within=5)

    # As make does: a process in between, which may be killed as well.
    system.process = system.start("sh", "-c", f"{FACEREC} up --with-parent; exit $?")
    system.wait_ready()
    system.process.kill()
    system.process.wait(5)
    eventually(lambda: not system.processes(), within=10)
    assert "the process that started this one has ended" in system.output.read_text()


def test_when_the_embedded_aws_dies_all_ends_and_it_is_said(
    start: Callable[..., System],
) -> None:
    system = start()
    system.wait_ready()
    system.kill("local.embedded_aws")
    ended_without_a_trace(system)
    assert system.process.returncode == 1
    assert "embedded AWS ended with -9" in system.output.read_text()


def test_a_signal_during_the_start_ends_it_as_well(
    start: Callable[..., System], eventually: Wait
) -> None:
    system = start()
    eventually(lambda: system.processes("local.embedded_aws"), within=30)
    os.kill(system.process.pid, signal.SIGTERM)
    ended_without_a_trace(system)
    assert system.process.returncode == 0


def test_a_state_directory_that_cannot_be_written_is_one_line(
    start: Callable[..., System], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    system = start(FACEREC_STATE_DIR=str(tmp_path / "file" / "state"))
    assert system.process.wait(30) == 1
    assert "set FACEREC_STATE_DIR" in system.output.read_text()
    assert len(system.lines) == 1


@pytest.mark.parametrize(("name", "value"), [("PORT", "notaport"), ("AWS_REGION", "mars-north-1")])
def test_settings_that_cannot_be_are_one_line(
    start: Callable[..., System], name: str, value: str
) -> None:
    system = start(**{name: value})
    assert system.process.wait(30) == 1
    assert len(system.lines) == 1
    assert name in system.lines[0]
