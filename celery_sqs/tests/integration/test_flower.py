"""Flower as operators see it: workers with their pools, tasks live, buttons, queue lengths.

With ``SCREENSHOTS=<folder>`` the screenshot the browser makes is kept there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "user:secret"


@dataclass
class Flower:
    """A running Flower."""

    port: int
    child: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, **fields: Any) -> urllib3.BaseHTTPResponse:
        headers = urllib3.make_headers(basic_auth=PASSWORD)
        with urllib3.PoolManager(retries=False, timeout=20) as http:
            return http.request(method, self.url + path, fields=fields, headers=headers)

    def json(self, path: str) -> Any:
        return json.loads(self.call("GET", path).data)

    @property
    def answers(self) -> bool:
        try:
            return self.call("GET", "/healthcheck").status == 200
        except urllib3.exceptions.HTTPError:
            return False


@pytest.fixture
def flower(
    sample: Any, spawn: Callable[..., Any], eventually: Callable[..., None], free_port: int
) -> Flower:
    port = free_port
    child = spawn(
        [sys.executable, "-m", "celery_sqs", "-A", "sample_app", "flower", f"--port={port}",
         f"--basic_auth={PASSWORD}"],
        log="flower",
    )  # fmt: skip
    made = Flower(port, child)
    eventually(lambda: made.answers, within=30)
    return made


def test_flower_shows_and_commands(sample: Any, flower: Flower) -> None:
    # SNS keeps no order: a heartbeat that comes after the farewell is believed for two intervals.
    worker = sample.start(SAMPLE_OPTIONS='{"heartbeat_interval": 2}')
    sample.eventually(lambda: worker.name in flower.json("/api/workers?refresh=1"), within=20)
    sample.send("work", "seen", 0.2)
    sample.eventually(lambda: sample.notes("end", "seen"))

    def seen() -> Any:
        tasks = flower.json("/api/tasks").values()
        return [task for task in tasks if task["state"] == "SUCCESS"]

    sample.eventually(seen, within=15)
    (task,) = seen()
    assert task["args"] == "('seen', 0.2)"
    assert task["runtime"] >= 0.2
    assert task["result"] == "None"
    assert task["worker"] == worker.name

    sample.send("work", "busy", 6)
    sample.send("work", "waiting")
    sample.eventually(lambda: sample.notes("begin", "busy"))

    def lengths() -> Any:
        queues = flower.json("/api/queues/length")["active_queues"]
        return {queue["name"]: queue["messages"] for queue in queues}

    sample.eventually(lambda: lengths() == {sample.queue: 2, sample.graveyard: 0}, within=5)
    page = flower.call("GET", "/broker").data.decode()
    assert sample.queue in page
    assert sample.graveyard in page

    grown = flower.call("POST", f"/api/worker/pool/grow/{worker.name}?n=1")
    assert grown.status == 200, grown.data
    sample.eventually(lambda: sample.notes("end", "waiting"), within=15)

    stopped = flower.call("POST", f"/api/worker/shutdown/{worker.name}")
    assert stopped.status == 200, stopped.data
    sample.eventually(lambda: worker.child.exit_code == 0, within=30)
    sample.eventually(lambda: not status(flower)[worker.name], within=15)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of the sample application in a store; to be asked for before ``flower``."""
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("SAMPLE_ANSWERS", "1")
    monkeypatch.setenv("SAMPLE_STORE", f"file://{tmp_path / 'store'}")


def test_results_of_others_come_from_the_store(stored: None, sample: Any, flower: Flower) -> None:
    sample.start()
    done, failed = sample.send("add", 2, 3), sample.send("fail", "broken")

    def result(of: Any) -> Any:
        return flower.json(f"/api/task/result/{of.id}")

    sample.eventually(lambda: result(done)["state"] == "SUCCESS", within=20)
    assert result(done)["result"] == 5
    sample.eventually(lambda: result(failed)["state"] == "FAILURE", within=20)
    assert "broken" in result(failed)["result"]


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of the sample application without a store."""
    monkeypatch.setenv("SAMPLE_ANSWERS", "1")


def test_results_that_cannot_be_known_are_not_pending(pushed: None, flower: Flower) -> None:
    assert flower.call("GET", "/api/task/result/any").status == 503


def status(flower: Flower) -> Any:
    """Whether each worker is alive, in Flower's eyes."""
    return flower.json("/api/workers?status=1")


def test_a_killed_worker_is_shown_as_gone(sample: Any, flower: Flower) -> None:
    options = '{"heartbeat_interval": 2}'  # 30 s by default, and gone after two
    worker = sample.start(SAMPLE_OPTIONS=options)
    other = sample.start(SAMPLE_OPTIONS=options)
    sample.eventually(lambda: status(flower).get(worker.name), within=20)
    os.killpg(worker.child.pid, 9)
    sample.eventually(lambda: not status(flower)[worker.name], within=20)
    assert status(flower)[other.name]


def test_without_the_password_nothing_is_shown(flower: Flower) -> None:
    with urllib3.PoolManager(retries=False, timeout=20) as http:
        for path in ("/workers", "/broker", "/api/tasks", "/api/queues/length"):
            assert http.request("GET", flower.url + path).status == 401


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
def test_a_browser_shows_it(sample: Any, flower: Flower, tmp_path: Path) -> None:
    worker = sample.start("-c2")
    for n in range(8):
        sample.send("work", f"photo_{n:02}.jpg", 0.1 * n)
    sample.send("dead_letter", "poison.jpg")
    sample.eventually(lambda: len(sample.notes("end")) == 8, within=20)
    sample.eventually(lambda: len(flower.json("/api/tasks")) == 9, within=15)
    address = flower.url.replace("//", f"//{PASSWORD}@")

    tasks = browse(f"{address}/tasks", tmp_path / "tasks.png")
    assert len(re.findall(r"sample\.work", tasks)) >= 8
    assert "SUCCESS" in tasks
    assert worker.name in browse(f"{address}/workers", tmp_path / "workers.png")
    assert sample.graveyard in browse(f"{address}/broker", tmp_path / "broker.png")

    kept = os.environ.get("SCREENSHOTS")
    if kept:
        shutil.copy(tmp_path / "tasks.png", Path(kept) / "flower.png")


def browse(address: str, picture: Path) -> str:
    """The page as the browser sees it after its scripts have run; a screenshot as well."""
    common = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--no-first-run", f"--user-data-dir={picture.parent / 'chromium'}",
        "--flow-size=1400,900", "--virtual-time-budget=8000",
    ]  # fmt: skip
    subprocess.run(
        [*common, f"--screenshot={picture}", address], check=True, capture_output=True, timeout=90
    )
    assert picture.stat().st_size > 10_000
    dom = subprocess.run(
        [*common, "--dump-dom", address], check=True, capture_output=True, timeout=90, text=True
    )
    return dom.stdout
