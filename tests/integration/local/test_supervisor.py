"""Services start in order, live, and end in order."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.processes.service import ServiceSpec
from local.processes.supervisor import ServiceFailed, ShutdownStep, Supervisor

Wait = Callable[..., None]
POLITE = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[3], "w").close()
time.sleep(60)
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor([ShutdownStep(("web",), 3.0), ShutdownStep(("workers",), 3.0)])
    yield supervisor
    supervisor.end()


def polite(name: str, folder: Path) -> ServiceSpec:
    """Writes its name when it is told to end."""
    started = folder / f"{name}.started"
    return ServiceSpec(
        name,
        (sys.executable, "-c", POLITE, str(folder / "ended"), name, str(started)),
        dict(os.environ),
        folder / f"{name}.log",
        ready=started.exists,
    )


def failing(folder: Path, code: str) -> ServiceSpec:
    return ServiceSpec(
        "web", (sys.executable, "-c", code), dict(os.environ), folder / "log", lambda: False
    )


def test_services_end_in_the_order_of_the_endings(supervisor: Supervisor, tmp_path: Path) -> None:
    for name in ("workers", "web"):
        supervisor.start(polite(name, tmp_path))
    supervisor.wait_ready("workers", "web")
    supervisor.end()
    assert (tmp_path / "ended").read_text() == "web workers "


def test_a_service_that_is_killed_comes_back(
    supervisor: Supervisor, tmp_path: Path, eventually: Wait
) -> None:
    web = supervisor.start(polite("web", tmp_path))
    supervisor.wait_ready("web")
    first = web.pid
    web.signal(signal.SIGKILL)

    def back() -> bool:
        supervisor.restart()
        return web.pid != first

    eventually(back, within=5)
    supervisor.wait_ready("web")


def test_a_service_that_dies_at_once_is_started_ever_more_slowly(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(failing(tmp_path, "print('start')"))
    until = time.monotonic() + 4.0  # starts at 0, about 0.3, 0.7, 1.6, 3.3
    while time.monotonic() < until:
        supervisor.restart()
        time.sleep(0.02)
    assert 3 <= (tmp_path / "log").read_text().count("start") <= 5


def test_exit_of_an_essential_service_is_reported(
    supervisor: Supervisor, tmp_path: Path, eventually: Wait
) -> None:
    web = supervisor.start(polite("web", tmp_path))
    supervisor.wait_ready("web")
    web.signal(signal.SIGKILL)
    eventually(lambda: web.ended)
    with pytest.raises(ServiceFailed, match="web ended with -9"):
        supervisor.restart(irreplaceable=("web",))


def test_service_that_fails_to_start_is_reported_with_its_log_tail(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(failing(tmp_path, "raise SystemExit('no such thing')"))
    with pytest.raises(ServiceFailed, match=r"ended with 1 while starting(.|\n)*no such thing"):
        supervisor.wait_ready("web")


def test_service_readiness_timeout_is_reported(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(failing(tmp_path, "import time; time.sleep(60)"))
    with pytest.raises(ServiceFailed, match="not ready after 0 s"):
        supervisor.wait_ready("web", timeout=0.2)
