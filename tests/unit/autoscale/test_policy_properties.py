"""What holds whatever happens: traffic, slow and failing boots, missing readings, any cap."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscale.keep_alive import Level
from autoscale.model import (
    ONE_PER_BACKLOG,
    SLO,
    Demand,
    FleetSnapshot,
    Machine,
    PolicyState,
    ScalingLimits,
    ScalingPlan,
    ScalingProfile,
)
from autoscale.policy import decide

CAPS = (1, 15, 20)


@dataclass(frozen=True)
class Step:
    """What happens before one decision."""

    arrive: int = 0
    serve: int = 0
    read: bool = True
    shrink: bool = True
    seconds: float = 2.0
    lose: bool = False
    """A machine disappears."""
    bake: bool = False
    """A new image is published: all machines there are are outdated."""


@dataclass
class Environment:
    """Machines that do what they are told, tasks that are done at any speed."""

    limits: ScalingLimits
    boot: float
    now: float = 10_000.0
    waiting: int = 0
    accepted: int = 0
    memory: PolicyState = field(default_factory=PolicyState)
    fleet: list[Machine] = field(default_factory=list)
    names: Iterator[int] = field(default_factory=itertools.count)

    def before(self, step: Step) -> None:
        self.now += step.seconds
        self.waiting += step.arrive
        self.accepted += step.arrive
        up = [m for m in self.fleet if m.live and self.now - m.since >= self.boot]
        self.waiting -= min(self.waiting, step.serve if up else 0)
        if step.lose and up:
            self.fleet.remove(up[0])
        if step.bake:
            self.fleet = [replace(m, outdated=True) for m in self.fleet]

    def seen(self) -> tuple[Machine, ...]:
        return tuple(self._as_listed(m) for m in self.fleet)

    def _as_listed(self, m: Machine) -> Machine:
        age = self.now - m.since
        if not m.live:
            return m
        running = m.since + 5 if age >= 5 else None
        ready = age >= self.boot
        up = m.since + self.boot if ready else None
        state = "running" if running else "pending"
        return Machine(m.id, state, m.since, None, running, ready, up, outdated=m.outdated)

    def decide(self, step: Step) -> ScalingPlan:
        demand = Demand(self.waiting, self.waiting, self.accepted, "exact", step.shrink)
        snapshot = FleetSnapshot(demand if step.read else None, self.seen(), self.memory)
        plan = decide(snapshot, self.limits, self.now)
        self.memory = plan.memory
        return plan

    def apply(self, plan: ScalingPlan) -> None:
        gone = {*plan.stop, *plan.replace, *plan.start, *plan.retire}
        old = {m.id for m in self.fleet if m.outdated}
        stopped = [Machine(i, "stopped", self.now, outdated=i in old) for i in plan.stop]
        self.fleet = [m for m in self.fleet if m.id not in gone] + stopped
        new = [*plan.start, *(f"i-{next(self.names)}" for _ in range(plan.launch))]
        self.fleet += [Machine(i, "pending", self.now) for i in new]

    @property
    def live(self) -> int:
        return sum(m.live for m in self.fleet)


STEPS = st.lists(
    st.builds(
        Step,
        arrive=st.one_of(st.just(0), st.integers(0, 5), st.integers(50, 400)),
        serve=st.integers(0, 60),
        read=st.integers(0, 9).map(bool),
        shrink=st.integers(0, 9).map(bool),
        seconds=st.sampled_from((0.5, 2.0, 2.0, 2.0, 20.0)),
        lose=st.integers(0, 19).map(lambda n: n == 0),
        bake=st.integers(0, 19).map(lambda n: n == 0),
    ),
    max_size=60,
)
PROFILES = st.sampled_from((SLO, ONE_PER_BACKLOG))
BOOTS = st.sampled_from((1.0, 12.0, 40.0, 400.0))
SERVICES = st.sampled_from((0.05, 0.5, 8.0))


@pytest.mark.parametrize("cap", CAPS)
@given(steps=STEPS, profile=PROFILES, boot=BOOTS, service=SERVICES)
def test_every_step_keeps_cap_and_invariants(
    cap: int, steps: list[Step], profile: ScalingProfile, boot: float, service: float
) -> None:
    environment = Environment(ScalingLimits(cap=cap, profile=profile, service=service), boot)
    for step in steps:
        environment.before(step)
        before = environment.memory
        ids = {m.id for m in environment.fleet if m.live}
        old = {m.id for m in environment.fleet if m.outdated}
        was_waiting, was_accepted = environment.memory.waiting, environment.memory.accepted
        plan = environment.decide(step)
        environment.apply(plan)

        assert environment.live <= cap
        assert environment.live >= min(len(ids), plan.target) - len(plan.replace)
        assert not old & {*plan.start}
        assert not ((plan.start or plan.launch) and (plan.stop or plan.replace))
        assert plan.launch >= 0
        assert set(plan.stop) <= ids
        if not step.read:
            assert not plan.changes
            assert plan.memory == before
            continue
        arrived = was_accepted and environment.accepted > was_accepted[-1][1]
        returned = environment.waiting > was_waiting
        lost = before.live - ids
        if profile is ONE_PER_BACKLOG and before.falling and not (arrived or returned or lost):
            assert plan.target <= before.target
        if not step.shrink:
            assert not plan.stop


@pytest.mark.parametrize("cap", CAPS)
@given(steps=STEPS, profile=PROFILES, boot=BOOTS)
def test_scale_in_reaches_zero_without_scale_out(
    cap: int, steps: list[Step], profile: ScalingProfile, boot: float
) -> None:
    environment = Environment(ScalingLimits(cap=cap, profile=profile), boot)
    for step in steps:
        environment.before(step)
        environment.apply(environment.decide(step))
    environment.waiting = 0
    targets = []
    for _ in range(80):
        quiet = Step()
        environment.before(quiet)
        plan = environment.decide(quiet)
        targets.append(plan.target)
        environment.apply(plan)
    assert environment.live == 0
    assert targets[-1] == 0
    fallen = [t for t in itertools.dropwhile(lambda t: t == targets[0], targets)]
    assert fallen == sorted(fallen, reverse=True)


@pytest.mark.parametrize("profile", [SLO, ONE_PER_BACKLOG])
@given(machines=st.integers(1, 14), boot=st.sampled_from((1.0, 12.0, 40.0)))
def test_rollout_replaces_every_machine_without_losing_capacity(
    profile: ScalingProfile, machines: int, boot: float
) -> None:
    limits = ScalingLimits(cap=15, profile=profile)
    environment = Environment(limits, boot, waiting=1)
    environment.fleet = [
        Machine(f"old-{n}", "running", 9_000.0, outdated=True) for n in range(machines)
    ]
    for _ in range(600):
        environment.now += 2.0
        levels = (Level(environment.now - 2.0, 0.0),) * machines  # needed as before
        environment.memory = replace(
            environment.memory, levels=levels, target=machines, falling=False
        )
        environment.apply(environment.decide(Step()))
        up = sum(m.live and environment.now - m.since >= boot for m in environment.fleet)
        assert up >= machines
        assert environment.live <= 15
        if not any(m.outdated for m in environment.fleet):
            return
    pytest.fail(f"still old: {[m.id for m in environment.fleet if m.outdated]}")
