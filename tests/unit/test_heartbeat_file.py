"""The heartbeat of a process, and the health check of the images that reads it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facerec_tasks import heartbeat_file
from facerec_tasks.heartbeat_file import HeartbeatFile
from tests.answering import Silent, serving

HEALTHY = Path("docker/healthy.py").resolve()


def healthy(place: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(HEALTHY), place],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_beat_is_a_touch_and_a_file_that_is_touched_is_healthy(tmp_path: Path) -> None:
    HeartbeatFile(tmp_path / "state", "worker").touch()
    assert healthy("$STATE/worker.heartbeat", STATE=str(tmp_path / "state")).returncode == 0


def test_heartbeat_file_is_touched_at_most_once_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = HeartbeatFile(tmp_path, "worker")
    one.touch()
    os.utime(one.path, (0, 0))
    one.touch()
    assert one.path.stat().st_mtime == 0
    monkeypatch.setattr(heartbeat_file, "EVERY", 0.0)
    one.touch()
    assert one.path.stat().st_mtime > 0


def test_heartbeat_file_disk_failure_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat_file, "EVERY", 0.0)
    (tmp_path / "file").touch()
    one = HeartbeatFile(tmp_path / "file" / "state", "worker")
    one.touch()
    one.touch()
    assert len(caplog.records) == 1


def test_a_process_that_hangs_or_never_came_up_is_not_healthy(tmp_path: Path) -> None:
    file = tmp_path / "worker.heartbeat"
    assert healthy(str(file)).returncode != 0
    file.touch()
    os.utime(file, (time.time() - 90, time.time() - 90))
    old = healthy(str(file))
    assert old.returncode == 1
    assert re.search(r"touched \d+ s ago", old.stderr)


@pytest.fixture
def port() -> Iterator[str]:
    class Handler(Silent):
        def do_GET(self) -> None:
            self.answer(200 if self.path == "/healthz" else 503)

    with serving(Handler) as url:
        yield url.rpartition(":")[2]


def test_health_check_ignores_proxy_settings(port: str) -> None:
    proxy = {"http_proxy": "http://127.0.0.1:9", "PORT": port}
    assert healthy("http://127.0.0.1:$PORT/healthz", **proxy).returncode == 0
    assert healthy("http://127.0.0.1:$PORT/other", **proxy).returncode != 0
    assert healthy("http://127.0.0.1:9/").returncode != 0
