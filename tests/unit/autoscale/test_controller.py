"""The whole controller over a fake EC2, in simulated time."""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from autoscale import decisions
from autoscale.controller import Controller
from autoscale.estimates import NAME as LEARNED
from autoscale.estimates import Estimates
from autoscale.explain import explain
from autoscale.health import PollResult, WorkerPoller, WorkerStatus
from autoscale.lease import ControllerLock
from autoscale.model import Machine, ScalingPlan
from autoscale.signals import InFlightReading, QueueLengths
from facerec_tasks.control_schemas import ProcessReport
from facerec_tasks.errors import Unavailable
from facerec_tasks.settings import Settings
from tests.fake_fleet import FakeFleet, Faults
from tests.memory_state import MemoryStateStore


class Workers(WorkerPoller):
    """Answers of the workers of a simulated world."""

    def __init__(self, system: "SimulatedSystem") -> None:
        super().__init__(lambda method, expected: {})
        self._environment = system

    def take(self) -> list[PollResult]:
        return (
            [PollResult(self._environment.now, self._environment.words())]
            if self._environment.askable
            else []
        )


class SimulatedSystem:
    """A queue, a web tier and machines whose workers need a while to come up."""

    def __init__(self, folder: Path, boot: Callable[[int], float], **environment: object) -> None:
        self.now = time.time()
        self.boot = boot
        self.waiting = self.accepted = 0
        self.rate = 2.0
        """Tasks per second of one machine."""
        self.readable = self.askable = True
        self.busy: set[str] = set()
        self.confirmed: list[str] = []
        self.state = MemoryStateStore()
        self.fleet = FakeFleet(lambda: self.now, pending=2.0, stopping=5.0)
        self.settings = Settings(state_dir=folder, machine="m", **environment)
        self.lock = ControllerLock(self.settings.machine, self.settings.state_dir)
        self._numbers: dict[tuple[str, float], int] = {}
        self._credit = 0.0
        self.controller = self._new()

    def _new(self) -> Controller:
        return Controller(
            self.settings,
            self.fleet,
            self.state,
            self.counts,
            self.lock,
            Workers(self),
            self.cancel,
        )

    def restart(self) -> None:
        """The controller dies and another takes its place."""
        self.lock.release()  # the kernel closes what a dead process held
        self.controller = self._new()

    def counts(self, now: float) -> QueueLengths:
        if not self.readable:
            raise Unavailable("RequestThrottled")
        return QueueLengths(now, self.waiting, 0)

    def cancel(self, nodes: Sequence[str]) -> list[str]:
        self.confirmed += nodes
        return list(nodes)

    def serving(self) -> list[Machine]:
        return [
            m
            for m in self.fleet.truth
            if m.state == "running" and self.now - m.since >= self.boot(self._number(m))
        ]

    def _number(self, machine: Machine) -> int:
        return self._numbers.setdefault((machine.id, machine.since), len(self._numbers))

    def words(self) -> dict[str, WorkerStatus]:
        return {
            m.id: WorkerStatus(1, 2, int(m.id in self.busy), f"celery@{m.id}")
            for m in self.serving()
        }

    def arrive(self, tasks: int) -> None:
        self.waiting += tasks
        self.accepted += tasks

    def serve(self, seconds: float) -> None:
        self._credit += len(self.serving()) * self.rate * seconds
        done = min(int(self._credit), self.waiting)
        self.waiting -= done
        self._credit = self._credit - done if self.waiting else 0.0

    def step(self, seconds: float = 2.0) -> ScalingPlan | None:
        self.now += seconds
        self.serve(seconds)
        process = ProcessReport(
            "w", "e", self.now - 1e6, self.accepted, self.accepted - self.waiting, self.waiting
        )
        requests = InFlightReading(self.now, (process,)) if self.readable else None
        with suppress(Unavailable):  # a successor that cannot list the machines yet
            return self.controller.step_if_leader(requests, self.now)
        return None

    def steps(self, count: int) -> list[ScalingPlan]:
        return [plan for _ in range(count) if (plan := self.step())]

    @property
    def live(self) -> int:
        return sum(m.live for m in self.fleet.truth)


def test_burst_is_served_and_fleet_returns_to_zero(tmp_path: Path) -> None:
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.step()
    system.arrive(100)
    system.step()
    assert system.live == 15
    system.steps(20)
    assert system.waiting == 0
    assert system.live == 0
    kept = list(decisions.read(system.state))
    assert kept
    assert max(d.machines.get("ready", 0) for d in kept) == 15


def test_boot_and_service_times_are_learned_and_stored(tmp_path: Path) -> None:
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.arrive(900)
    system.steps(60)
    found = system.state.find(LEARNED)
    assert found is not None
    estimates = Estimates.from_json(found.data)
    assert all(10.0 <= b <= 12.5 for b in estimates.boots)
    assert all(s == pytest.approx(1.0, rel=0.1) for s in estimates.services)
    assert estimates.processes == 2


def test_failed_boot_is_replaced(tmp_path: Path) -> None:
    system = SimulatedSystem(tmp_path, lambda n: math.inf if n == 0 else 10.0, slo=300.0)
    system.arrive(10)
    plans = system.steps(80)
    replaced = [i for p in plans for i in p.replace]
    assert len(replaced) == 1
    assert system.waiting == 0


def test_launch_breaker_alarms_when_every_boot_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system = SimulatedSystem(tmp_path, lambda n: math.inf, scaling_profile="one-per-backlog")
    system.arrive(100)
    with caplog.at_level(logging.ERROR):
        system.steps(60)
    assert "ALARM" in caplog.text
    launched = len(system.fleet.truth)
    system.steps(300)
    assert len(system.fleet.truth) - launched <= 10
    system.boot = lambda n: 10.0
    for _ in range(600):
        system.step()
        if not system.waiting:
            break
    assert system.waiting == 0


NO_KEY = "Client.InternalError: Client error on launch"
"""What EC2 says where the launching role may not use the key of the disk."""


def test_launches_that_ec2_cannot_carry_out_are_told_and_slowed_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """RunInstances is accepted, and the machines go from pending to terminated."""
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.fleet.boot_error = NO_KEY
    system.arrive(100)
    with caplog.at_level(logging.WARNING):
        system.steps(30)
    assert NO_KEY in caplog.text
    assert "ALARM" in caplog.text
    launched = len(system.fleet.truth)
    system.steps(300)
    assert len(system.fleet.truth) - launched <= 10
    assert caplog.text.count("i-0000") == 1, "each is told once"
    told = [explain(decision) for decision in decisions.read(system.state)]
    assert any("boot failed (i-0000, i-0001" in words and f"{NO_KEY})" in words for words in told)
    system.fleet.boot_error = ""
    system.steps(400)
    assert system.waiting == 0


def test_stopped_machines_that_cannot_start_are_set_aside(tmp_path: Path) -> None:
    """StartInstances is accepted, and they are stopped again: others are launched."""
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.arrive(3)
    system.steps(60)
    (old,) = system.fleet.truth
    assert old.state == "stopped"
    system.fleet.boot_error = NO_KEY
    system.arrive(3)
    system.steps(4)
    system.fleet.boot_error = ""
    system.steps(30)
    assert system.waiting == 0
    assert [m.id for m in system.fleet.truth if m.since > old.since][-1] != old.id


def test_unreachable_workers_are_not_replaced(tmp_path: Path) -> None:
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.askable = False
    system.rate = 0.02
    system.arrive(100)
    assert not any(p.replace for p in system.steps(200))


def test_failed_readings_change_nothing(tmp_path: Path) -> None:
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.arrive(100)
    system.steps(3)
    system.readable = False
    assert not any(p.changes for p in system.steps(100))
    assert system.live == 15
    system.fleet.faults = Faults(throttled=1.0)
    system.readable, system.waiting = True, 0
    assert not any(p.changes for p in system.steps(50))
    system.fleet.faults = Faults()
    system.steps(10)
    assert system.live == 0


def test_controller_restart_doubles_no_launch(tmp_path: Path) -> None:
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.arrive(100)
    for _ in range(6):
        system.step()
        system.restart()
        assert system.live <= 15
    assert len(system.fleet.truth) == 15


def test_web_restart_loses_no_request(tmp_path: Path) -> None:
    system = SimulatedSystem(tmp_path, lambda n: 10.0, scaling_profile="one-per-backlog")
    system.arrive(100)
    system.steps(4)
    for _ in range(30):
        system.now += 2.0
        young = InFlightReading(system.now, (ProcessReport("w", "new", system.now - 1, 0, 0, 0),))
        system.serve(2.0)
        before = system.waiting
        system.controller.step(young, system.now)
        if before:
            assert system.live >= 1
    assert system.waiting == 0
    assert system.live == 0


def test_long_tasks_drain_before_stop(tmp_path: Path) -> None:
    system = SimulatedSystem(
        tmp_path,
        lambda n: 4.0,
        scaling_profile="one-per-backlog",
        task_time_limit=900,
        answer_timeout=1000,
    )
    system.rate = 0.0
    system.arrive(6)
    system.steps(6)
    assert system.live == 2
    system.busy = {system.fleet.truth[0].id}
    system.waiting = 0
    system.steps(10)
    assert len(system.confirmed) == 2
    assert [m.state for m in system.fleet.truth] == ["running", "stopped"]
    system.busy = set()
    system.steps(2)
    assert system.live == 0


def test_drain_times_out_after_the_longest_task(
    tmp_path: Path,
) -> None:
    system = SimulatedSystem(
        tmp_path,
        lambda n: 4.0,
        scaling_profile="one-per-backlog",
        task_time_limit=100,
        answer_timeout=1000,
    )
    system.rate = 0.0
    system.arrive(1)
    system.steps(6)
    system.busy = {m.id for m in system.fleet.truth}
    system.waiting = 0
    system.steps(45)
    assert system.live == 1
    system.steps(15)
    assert system.live == 0


@pytest.mark.parametrize("seed", range(100))
def test_hundred_bursts_with_random_kills(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    slow = {n: rng.uniform(4.0, 20.0) if rng.random() > 0.05 else math.inf for n in range(200)}
    system = SimulatedSystem(
        tmp_path, lambda n: slow.get(n, 8.0), scaling_profile="one-per-backlog"
    )
    system.rate = 0.3
    system.fleet.faults = Faults(throttled=0.1, lost=0.05, late=0.2, lag=10.0)
    system.step()
    system.arrive(100)
    most = 0
    for _ in range(300):
        if system.waiting and rng.random() < 0.05:
            system.restart()
        victims = system.serving()
        if system.waiting and victims and rng.random() < 0.05:
            with suppress(Unavailable):
                system.fleet.terminate([rng.choice(victims).id])
        system.step()
        most = max(most, system.live)
        assert system.live <= 15
        if not system.waiting and not system.live:
            break
    assert (most, system.waiting, system.live) == (15, 0, 0)
    assert system.fleet.most_live == 15
