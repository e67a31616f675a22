"""Fixtures of every test: an AWS of our own, names nobody else uses, processes that always end.

``FACEREC_TEST_ENDPOINT`` runs the same tests on another emulator, such as LocalStack.
"""

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery_sqs.testing import FaultProxy, PythonForks, isolated

from facerec_tasks import aws
from facerec_tasks.settings import Settings, get_settings
from local.emulators.embedded_aws import embedded_aws
from local.emulators.resources import create_resources
from local.processes.child import Child
from local.processes.ports import free_port
from tests.forked_aws import AwsForks

GIVEN_ENDPOINT = os.environ.get("FACEREC_TEST_ENDPOINT")
PENDING = 0.3
STOPPING = 0.3
"""Seconds that instances of the shared embedded AWS stay ``pending`` and ``stopping``."""
LOADED = (
    "boto3",
    "celery.bin.worker",
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery_sqs._broker.transport",
    "celery_sqs._results.backend",
    "celery_sqs._worker.bootsteps",
    "facerec_tasks.aws",
    "facerec_tasks.settings",
    "flask",
)
"""What workers and web processes import anyway. Not ``celery.bin.celery``, which imports Flower and
its prometheus_client: that one reads the environment when it is imported."""


@pytest.fixture(autouse=True)
def _no_real_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the developer's account or settings."""
    for name in os.environ:
        if name.startswith(("AWS_", "FACEREC_")) or name == "PORT":
            monkeypatch.delenv(name)
    for name, value in isolated({}, "http://127.0.0.1:9").items():  # nobody listens there
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The endpoint URL of an AWS shared by the tests of this session (per xdist process)."""
    if GIVEN_ENDPOINT:
        yield GIVEN_ENDPOINT
        return
    with embedded_aws(pending=PENDING, stopping=STOPPING) as url:
        yield url


@pytest.fixture
def private_aws() -> Iterator[ExitStack]:
    """Holds the AWS of ``private_endpoint``; ``close()`` ends it in the middle of a test."""
    before = set(aws.clients)
    with ExitStack() as stack:
        yield stack
    for key in set(aws.clients) - before:  # nobody asks there again, and EC2's takes 46 MB
        del aws.clients[key]


@pytest.fixture(scope="session")
def aws_forks() -> Iterator[AwsForks]:
    """Makes an AWS at once, for one test alone."""
    forks = AwsForks()
    yield forks
    forks.end()


@pytest.fixture
def private_endpoint(private_aws: ExitStack, aws_forks: AwsForks) -> str:
    """An AWS for this test alone: for tests that count machines, or end the emulator."""
    return private_aws.enter_context(aws_forks.fork(pending=PENDING, stopping=STOPPING))


@pytest.fixture
def facerec_id() -> str:
    """A ``FACEREC_ID`` nobody else has: buckets and queues of a test are its own."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def settings(
    request: pytest.FixtureRequest,
    facerec_id: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings of this test, set in the environment as well: child processes read the same.

    They name the shared AWS, or the test's own when it asks for ``private_endpoint``.
    """
    private = "private_endpoint" in request.fixturenames
    endpoint = request.getfixturevalue("private_endpoint" if private else "endpoint")
    environment = isolated({}, endpoint) | {
        "FACEREC_ID": facerec_id,
        "FACEREC_MACHINE": "testmachine",
        "FACEREC_STATE_DIR": str(tmp_path / "state"),
        "FACEREC_MODELS_DIR": str(Path("models").resolve()),
        "PORT": str(free_port()),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "state").mkdir()
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def resources(settings: Settings) -> Settings:
    """The settings of this test, whose buckets, queues and image exist.

    EC2 is shared by the session, since machines carry no ``FACEREC_ID`` in their names: a test that
    counts machines asks for ``private_endpoint`` as well and has one of its own.
    """
    create_resources(settings)
    return settings


@pytest.fixture(scope="session")
def forks() -> Iterator[PythonForks]:
    """Starts Python programs that need not import Celery, Flask and boto3 any more."""
    made = PythonForks(*LOADED)
    yield made
    made.end()


@pytest.fixture
def spawn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts processes with this test's environment; they end with the test, children included.

    ``spawn(command, log="worker")`` writes to ``<tmp_path>/worker.log``; extra environment goes
    in ``environment``. Of ``sys.executable`` it is a fork, see :class:`PythonForks`.
    """
    started: list[Any] = []

    def start(
        command: Sequence[str],
        *,
        log: str = "process",
        environment: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Any:
        variables, file = {**os.environ, **(environment or {})}, tmp_path / f"{log}.log"
        child: Any
        if command[0] == sys.executable and not pass_fds:
            child = request.getfixturevalue("forks").start(command[1:], variables, file)
        else:
            child = Child(command, environment=variables, log=file, pass_fds=pass_fds)
        started.append(child)
        return child

    yield start
    for child in reversed(started):
        child.end(grace=0.0)


@pytest.fixture
def proxy(settings: Settings) -> Iterator[FaultProxy]:
    """Between a process of this test and AWS; it counts calls and spoils none until told to."""
    made = FaultProxy(settings.endpoint_url)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """``eventually(condition, within=10)``: waits until it is true, fails after that."""

    def wait(condition: Callable[[], object], within: float = 10.0, every: float = 0.05) -> None:
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {within} s: {condition}")
            time.sleep(every)

    return wait
