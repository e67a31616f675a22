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
from autoscale.estimates import Learned
from autoscale.health import Probe, Round, Word
from autoscale.model import Machine, Plan
from autoscale.signals import Counts, Ledger, Process
from autoscale.simulation.fake_fleet import FakeFleet, Faults
from autoscale.state import MemoryState
from facerec_tasks.errors import Unavailable
from facerec_tasks.settings import Settings


class Workers(Probe):
    """Answers of the workers of a simulated world."""

    def __init__(self, world: "World") -> None:
        super().__init__(lambda method, expected: {})
        self._world = world

    def take(self) -> list[Round]:
        return [Round(self._world.now, self._world.words())] if self._world.askable else []


class World:
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
        self.state = MemoryState()
        self.fleet = FakeFleet(lambda: self.now, pending=2.0, stopping=5.0)
        self.settings = Settings(state_dir=folder, machine="m", **environment)
        self._numbers: dict[tuple[str, float], int] = {}
        self._credit = 0.0
        self.controller = self._new()

    def _new(self) -> Controller:
        made = Controller(self.settings, self.fleet, self.state, self, Workers(self), self.cancel)
        assert made._lease.keep()
        return made

    def restart(self) -> None:
        """The controller dies and another takes its place."""
        self.controller._lease._place.release()  # the kernel closes what a dead process held
        self.controller = self._new()
        with suppress(Unavailable):
            self.controller._execution.recover(self.now)

    def counts(self, now: float) -> Counts:
        if not self.readable:
            raise Unavailable("RequestThrottled")
        return Counts(now, self.waiting, 0)

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

    def words(self) -> dict[str, Word]:
        return {m.id: Word(1, 2, int(m.id in self.busy), f"celery@{m.id}") for m in self.serving()}

    def arrive(self, tasks: int) -> None:
        self.waiting += tasks
        self.accepted += tasks

    def _serve(self, seconds: float) -> None:
        self._credit += len(self.serving()) * self.rate * seconds
        done = min(int(self._credit), self.waiting)
        self.waiting -= done
        self._credit = self._credit - done if self.waiting else 0.0

    def step(self, seconds: float = 2.0) -> Plan:
        self.now += seconds
        self._serve(seconds)
        process = Process(
            "w", "e", self.now - 1e6, self.accepted, self.accepted - self.waiting, self.waiting
        )
        ledger = Ledger(self.now, (process,)) if self.readable else None
        self.controller._lease.keep()
        return self.controller.step(ledger, self.now)

    def steps(self, count: int) -> list[Plan]:
        return [self.step() for _ in range(count)]

    @property
    def live(self) -> int:
        return sum(m.live for m in self.fleet.truth)


def test_a_burst_is_served_and_everything_ends(tmp_path: Path) -> None:
    world = World(tmp_path, lambda n: 10.0, scaling_profile="course")
    world.step()
    world.arrive(100)
    world.step()
    assert world.live == 15
    world.steps(20)
    assert world.waiting == 0
    assert world.live == 0
    kept = list(decisions.read(world.state))
    assert kept
    assert max(d.machines.get("ready", 0) for d in kept) == 15


def test_boot_and_service_times_are_learned_and_kept(tmp_path: Path) -> None:
    world = World(tmp_path, lambda n: 10.0, scaling_profile="course")
    world.arrive(900)
    world.steps(60)
    found = world.state.find(LEARNED)
    assert found is not None
    learned = Learned.from_json(found.data)
    assert all(10.0 <= b <= 12.5 for b in learned.boots)
    assert all(s == pytest.approx(1.0, rel=0.1) for s in learned.services)
    assert learned.processes == 2


def test_a_boot_that_fails_is_replaced_and_the_work_is_done(tmp_path: Path) -> None:
    world = World(tmp_path, lambda n: math.inf if n == 0 else 10.0, slo=300.0)
    world.arrive(10)
    plans = world.steps(80)
    replaced = [i for p in plans for i in p.replace]
    assert len(replaced) == 1
    assert world.waiting == 0


def test_when_every_boot_fails_an_alarm_is_raised_and_few_are_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, lambda n: math.inf, scaling_profile="course")
    world.arrive(100)
    with caplog.at_level(logging.ERROR):
        world.steps(60)
    assert "ALARM" in caplog.text
    launched = len(world.fleet.truth)
    world.steps(300)
    assert len(world.fleet.truth) - launched <= 10
    world.boot = lambda n: 10.0
    for _ in range(600):
        world.step()
        if not world.waiting:
            break
    assert world.waiting == 0


def test_workers_that_cannot_be_asked_are_not_taken_for_dead(tmp_path: Path) -> None:
    world = World(tmp_path, lambda n: 10.0, scaling_profile="course")
    world.askable = False
    world.rate = 0.02
    world.arrive(100)
    assert not any(p.replace for p in world.steps(200))


def test_readings_that_fail_change_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, lambda n: 10.0, scaling_profile="course")
    world.arrive(100)
    world.steps(3)
    world.readable = False
    assert not any(p.changes for p in world.steps(100))
    assert world.live == 15
    world.fleet.faults = Faults(throttled=1.0)
    world.readable, world.waiting = True, 0
    assert not any(p.changes for p in world.steps(50))
    world.fleet.faults = Faults()
    world.steps(10)
    assert world.live == 0


def test_a_restart_in_the_middle_doubles_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, lambda n: 10.0, scaling_profile="course")
    world.arrive(100)
    for _ in range(6):
        world.step()
        world.restart()
        assert world.live <= 15
    assert len(world.fleet.truth) == 15


def test_a_web_tier_that_restarts_in_the_middle_loses_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, lambda n: 10.0, scaling_profile="course")
    world.arrive(100)
    world.steps(4)
    for _ in range(30):
        world.now += 2.0
        young = Ledger(world.now, (Process("w", "new", world.now - 1, 0, 0, 0),))
        world._serve(2.0)
        before = world.waiting
        world.controller.step(young, world.now)
        if before:
            assert world.live >= 1
    assert world.waiting == 0
    assert world.live == 0


def test_long_tasks_are_finished_before_their_machine_is_stopped(tmp_path: Path) -> None:
    world = World(
        tmp_path, lambda n: 4.0, scaling_profile="course", task_time_limit=900, answer_timeout=1000
    )
    world.rate = 0.0
    world.arrive(6)
    world.steps(6)
    assert world.live == 2
    world.busy = {world.fleet.truth[0].id}
    world.waiting = 0
    world.steps(10)
    assert len(world.confirmed) == 2
    assert [m.state for m in world.fleet.truth] == ["running", "stopped"]
    world.busy = set()
    world.steps(2)
    assert world.live == 0


def test_a_machine_that_never_says_it_is_idle_is_stopped_after_the_longest_task(
    tmp_path: Path,
) -> None:
    world = World(
        tmp_path, lambda n: 4.0, scaling_profile="course", task_time_limit=100, answer_timeout=1000
    )
    world.rate = 0.0
    world.arrive(1)
    world.steps(6)
    world.busy = {m.id for m in world.fleet.truth}
    world.waiting = 0
    world.steps(45)
    assert world.live == 1
    world.steps(15)
    assert world.live == 0


@pytest.mark.parametrize("seed", range(100))
def test_a_hundred_bursts_with_random_kills(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    slow = {n: rng.uniform(4.0, 20.0) if rng.random() > 0.05 else math.inf for n in range(200)}
    world = World(tmp_path, lambda n: slow.get(n, 8.0), scaling_profile="course")
    world.rate = 0.3
    world.fleet.faults = Faults(throttled=0.1, lost=0.05, late=0.2, lag=10.0)
    world.step()
    world.arrive(100)
    most = 0
    for _ in range(300):
        if world.waiting and rng.random() < 0.05:
            world.restart()
        victims = world.serving()
        if world.waiting and victims and rng.random() < 0.05:
            with suppress(Unavailable):
                world.fleet.terminate([rng.choice(victims).id])
        world.step()
        most = max(most, world.live)
        assert world.live <= 15
        if not world.waiting and not world.live:
            break
    assert (most, world.waiting, world.live) == (15, 0, 0)
    assert world.fleet.most_live == 15
