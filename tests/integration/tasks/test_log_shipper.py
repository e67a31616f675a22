"""The journal's lines get to CloudWatch, whatever dies and whatever AWS does."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from celery_sqs.testing import FaultProxy, often

from facerec_tasks.aws import client
from facerec_tasks.settings import Settings
from local.processes.child import Child
from tests.integration import journalctl

Eventually = Callable[..., None]


@dataclass
class Journal:
    """The file that the stand-in of journalctl follows, and what became of its lines."""

    settings: Settings
    folder: Path
    group: str
    lines: int = 0

    def write(self, count: int) -> None:
        for _ in range(count):
            self.lines += 1
            journalctl.write(self.folder, self.lines)

    @property
    def said(self) -> int:
        found = self.folder / "said"
        return int(found.read_text()) if found.exists() else 0

    @property
    def shipped(self) -> list[int]:
        logs = client(self.settings, "logs")
        try:
            events = logs.get_log_events(
                logGroupName=self.group, logStreamName="testmachine", startFromHead=True
            )["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        read = [json.loads(event["message"]) for event in events]
        assert {one["unit"] for one in read} <= {"facerec-worker"}
        return [int(one["message"].removeprefix("line ")) for one in read]

    @property
    def all_shipped_once(self) -> bool:
        return self.shipped == list(range(1, self.lines + 1))


@pytest.fixture
def journal(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    journalctl.install(tmp_path)
    made = Journal(settings, tmp_path, f"/{settings.id}/app-tier")
    made.write(3)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("FACEREC_LOG_GROUP", made.group)
    client(settings, "logs").create_log_group(logGroupName=made.group)
    return made


@pytest.fixture
def ship(spawn: Callable[..., Child], proxy: FaultProxy) -> Callable[[], Child]:
    command = (sys.executable, "-m", "facerec_tasks.log_shipper")
    return lambda: spawn(command, log="shipper", environment={"AWS_ENDPOINT_URL": proxy.url})


def test_lines_are_shipped_in_few_calls_although_journalctl_dies(
    journal: Journal, proxy: FaultProxy, ship: Callable[[], Child], eventually: Eventually
) -> None:
    shipper = ship()
    eventually(lambda: journal.all_shipped_once)
    os.kill(int((journal.folder / "pid").read_text()), signal.SIGKILL)
    journal.write(2)
    eventually(lambda: journal.all_shipped_once)
    journal.write(1)
    eventually(lambda: journal.said == 6)
    shipper.end(grace=10.0)
    assert shipper.exit_code == 0
    assert journal.all_shipped_once
    assert proxy.calls == {"PutLogEvents": 4, "CreateLogStream": 1}, "the first finds no stream"


def test_log_shipper_resumes_at_its_cursor_after_an_outage(
    journal: Journal, proxy: FaultProxy, ship: Callable[[], Child], eventually: Eventually
) -> None:
    proxy.rule = often(1, "throttled", "unavailable", "dropped", "garbage", "expired")
    first = ship()
    eventually(lambda: proxy.spoiled.total() > 3)
    assert first.exit_code is None
    journal.write(2)
    first.kill()
    assert not (journal.settings.state_dir / "cursor").exists()

    second = ship()
    spoiled = proxy.spoiled.total()
    eventually(lambda: proxy.spoiled.total() > spoiled)
    proxy.rule = lambda action: None
    eventually(lambda: journal.all_shipped_once)
    eventually((journal.settings.state_dir / "cursor").exists)
    second.kill()

    (journal.folder / "said").unlink()
    journal.write(4)
    third = ship()
    eventually(lambda: journal.said == 9)
    third.end(grace=10.0)
    assert third.exit_code == 0
    assert journal.all_shipped_once


def test_a_place_that_the_journal_does_not_know_is_its_beginning(
    journal: Journal, ship: Callable[[], Child], eventually: Eventually
) -> None:
    (journal.settings.state_dir / "cursor").write_text("s=another;i=1")
    ship()
    eventually(lambda: journal.all_shipped_once)


def test_missing_log_group_is_reported(
    settings: Settings, spawn: Callable[..., Child], eventually: Eventually, tmp_path: Path
) -> None:
    told = spawn((sys.executable, "-m", "facerec_tasks.log_shipper"))
    eventually(lambda: told.exit_code is not None)
    assert "FACEREC_LOG_GROUP" in (tmp_path / "process.log").read_text()
