"""What the system costs while nobody uses it: its calls to AWS, counted, by service and kind."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery_sqs.testing import isolated

from benchmarks import prices
from benchmarks.emulator import Emulator
from facerec_tasks.settings import Settings
from local.emulators.resources import create_resources
from local.processes.child import Child
from local.processes.ports import free_port

DAY = 86_400
DAYS_A_MONTH = 30
START = 30.0
"""Seconds a process may take until it does nothing but rest."""


@dataclass(frozen=True)
class Resting:
    """Calls of a few seconds at rest."""

    calls: Counter[str]
    seconds: float

    @property
    def per_day(self) -> float:
        return self.calls.total() * DAY / self.seconds

    def without(self, other: "Resting") -> "Resting":
        """What is left when the calls of another, as long, are taken off."""
        return Resting(self.calls - other.calls, self.seconds)

    def summary(self) -> dict[str, Any]:
        daily = {kind: n * DAY / self.seconds for kind, n in sorted(self.calls.items())}
        monthly = {kind: n * DAYS_A_MONTH for kind, n in daily.items()}
        return {
            "calls_per_day": round(self.per_day),
            "by_kind": {kind: round(n) for kind, n in daily.items()},
            "dollars_per_month": round(prices.dollars(monthly), 2),
        }


@dataclass(frozen=True)
class Rest:
    """At rest: the system without workers; what an idle worker adds; what Flower adds to both."""

    counted_on: str
    """Name of the emulator."""
    system: Resting
    worker: Resting
    flower: Resting

    def summary(self) -> dict[str, Any]:
        return {
            "controller and web": self.system.summary(),
            "an idle worker": self.worker.summary(),
            "Flower, with that worker": self.flower.summary(),
        }


def measure_rest(emulator: Emulator, directory: Path, seconds: float) -> Rest:
    """Counts for ``seconds`` each: the system, with a worker, with a worker and Flower."""
    settings = Settings(
        id="rest",
        endpoint_url=emulator.url,
        port=free_port(),
        flower_port=free_port(),
        state_dir=directory / "rest",
    )
    settings.state_dir.mkdir()
    create_resources(settings)
    with _running(settings, "-m", "webapp"), _running(settings, "-m", "autoscale.controller"):
        system = _count(emulator, seconds, "controller and web")
        with _running(settings, "-m", "celery", "-A", "facerec_tasks.worker", "worker"):
            worker = _count(emulator, seconds, "with an idle worker")
            flower = ("-m", "celery_sqs", "-A", "facerec_tasks.app", "flower")
            with _running(settings, *flower, f"--port={settings.flower_port}"):
                flowered = _count(emulator, seconds, "with Flower")
    return Rest(emulator.name, system, worker.without(system), flowered.without(worker))


def _count(emulator: Emulator, seconds: float, what: str) -> Resting:
    time.sleep(START)
    print(f"at rest: {what}, {seconds:.0f} s", file=sys.stderr, flush=True)
    before = emulator.calls()
    time.sleep(seconds)
    return Resting(emulator.calls() - before, seconds)


@contextmanager
def _running(settings: Settings, *arguments: str) -> Iterator[None]:
    """A process of the system with these settings; raises when it did not live through it."""
    environment = isolated(dict(os.environ), str(settings.endpoint_url)) | {
        "FACEREC_ID": settings.id,
        "PORT": str(settings.port),
        "FACEREC_STATE_DIR": str(settings.state_dir),
    }
    log = settings.state_dir / f"{arguments[1]}.log"
    child = Child((sys.executable, *arguments), environment=environment, log=log)
    try:
        yield
        if child.exit_code is not None:
            raise SystemExit(f"{' '.join(arguments)} ended:\n{log.read_text()[-2000:]}")
    finally:
        child.end(grace=5.0)
