"""``facerec up`` from a shell's point of view: ready, robust, and gone without a trace."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

System = Any
"""``System`` of conftest.py, which cannot be imported."""
Wait = Callable[..., None]
ENDED = 20.0
"""Seconds; 10 are promised, to a machine that does not run other tests meanwhile."""


def ended_without_a_trace(system: System) -> None:
    system.process.wait(ENDED)
    deadline = time.monotonic() + 1  # the kernel takes a moment to bury the killed
    while left := system.processes():
        assert time.monotonic() < deadline, left
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
    system.kill("local.processes.worker_host")
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


def test_killed_up_leaves_no_process_and_resumes(
    start: Callable[..., System], eventually: Wait
) -> None:
    system = start()
    system.wait_ready()
    assert system.post() == "200 photo:Grace_Hopper"
    (before,) = past_answers(system)  # the sample's is not kept
    system.process.kill()
    system.process.wait(5)
    eventually(lambda: not system.processes(), within=10)

    # As make does: a process in between, which may be killed as well.
    system.process = system.start("sh", "-c", f"{system.facerec} up --with-parent; exit $?")
    system.wait_ready()
    assert past_answers(system) == [before]
    photo = f"http://127.0.0.1:{system.port}/v1/history/{before['task_id']}/photo"
    assert urllib3.request("GET", photo, retries=False, timeout=5).status == 200
    system.process.kill()
    system.process.wait(5)
    eventually(lambda: not system.processes(), within=ENDED)
    assert "the process that started this one has ended" in system.output.read_text()


def past_answers(system: System) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{system.port}/v1/history"
    headers = {"Accept": "application/json"}
    listed = urllib3.request("GET", url, headers=headers, retries=False, timeout=5)
    return listed.json()["entries"]  # type: ignore[no-any-return]


def test_when_the_embedded_aws_dies_all_ends_and_it_is_said(
    start: Callable[..., System],
) -> None:
    system = start()
    system.wait_ready()
    system.kill("local.emulators.embedded_aws")
    ended_without_a_trace(system)
    assert system.process.returncode == 1
    assert "embedded AWS ended with -9" in system.output.read_text()


def test_a_signal_during_the_start_ends_it_as_well(
    start: Callable[..., System], eventually: Wait
) -> None:
    system = start()
    eventually(lambda: system.processes("local.emulators.embedded_aws"), within=30)
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
