"""Fixtures of every test of the library: an AWS of its own, and processes that always end.

``CELERY_SQS_TEST_ENDPOINT`` runs the same tests on another emulator, such as LocalStack.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from celery_sqs.testing import FaultProxy, ForkedProcess, PythonForks, emulated_aws, isolated

GIVEN_ENDPOINT = os.environ.get("CELERY_SQS_TEST_ENDPOINT")
Eventually = Callable[..., None]
LOADED = (
    "boto3",
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery_sqs._broker.transport",
    "celery_sqs._results.backend",
    "celery_sqs._worker.bootsteps",
)
"""What workers import anyway."""


# A shell starts background jobs with SIGINT ignored, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Child(ForkedProcess):
    """A running command in a group of its own, which ends with the test."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, timeout))
        return self.exit_code is not None


@pytest.fixture(scope="session")
def forks() -> Iterator[PythonForks]:
    """Starts Python programs that need not import Celery and boto3 any more."""
    made = PythonForks(*LOADED)
    yield made
    made.end()


@dataclass(frozen=True)
class Names:
    """What a test may call its own."""

    id: str
    endpoint_url: str
    state_dir: Path
    region: str = "us-east-1"

    @property
    def request_queue(self) -> str:
        return f"{self.id}-req-queue"

    @property
    def dead_letter_queue(self) -> str:
        return f"{self.id}-req-dlq"

    @property
    def response_queue(self) -> str:
        return f"{self.id}-resp-queue"


@pytest.fixture(autouse=True)
def _no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's account."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in isolated({}, "http://127.0.0.1:9").items():  # nothing listens there
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The endpoint URL of an AWS shared by the tests of this session (per xdist process)."""
    if GIVEN_ENDPOINT:
        yield GIVEN_ENDPOINT
        return
    with emulated_aws() as url:
        yield url


@pytest.fixture
def names(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names of this test, set in the environment as well: child processes read the same."""
    made = Names(f"t{uuid.uuid4().hex[:12]}", endpoint, tmp_path / "state")
    made.state_dir.mkdir()
    environment = {"SAMPLE_ID": made.id, "SAMPLE_STATE_DIR": str(made.state_dir)}
    for name, value in (isolated({}, endpoint) | environment).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def spawn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., ForkedProcess]]:
    """``spawn(command, log="worker")`` starts a process that ends with the test.

    Of ``sys.executable`` it is a fork, see :class:`celery_sqs.testing.PythonForks`.
    """
    started: list[ForkedProcess] = []

    def start(
        command: Sequence[str], *, log: str = "process", environment: dict[str, str] | None = None
    ) -> ForkedProcess:
        variables, file = {**os.environ, **(environment or {})}, tmp_path / f"{log}.log"
        too_late = command[1] == "-u" or "REMAP_SIGTERM" in variables  # read at the start
        if command[0] == sys.executable and not too_late:
            forks = request.getfixturevalue("forks")
            child = forks.start(command[1:], variables, file)
        else:
            child = Child(command, variables, file)
        started.append(child)
        return child

    yield start
    for child in reversed(started):
        child.end(grace=0.0)


@pytest.fixture
def proxy(names: Names) -> Iterator[FaultProxy]:
    """Between a process of this test and AWS; it counts calls and spoils none until told to."""
    made = FaultProxy(names.endpoint_url)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def eventually() -> Eventually:
    """``eventually(condition, within=10)``: waits until it is true, fails after that."""

    def wait(condition: Callable[[], object], within: float = 10.0, every: float = 0.05) -> None:
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {within} s: {condition}")
            time.sleep(every)

    return wait


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
