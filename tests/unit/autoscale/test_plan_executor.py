"""Acting on a fleet that throttles, loses answers and lies."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscale.ec2_errors import InsufficientCapacity
from autoscale.launcher import NAME, IntentLog, Launcher, LaunchIntent
from autoscale.model import (
    ONE_PER_BACKLOG,
    SLO,
    Demand,
    FleetSnapshot,
    PolicyState,
    ScalingLimits,
    ScalingProfile,
)
from autoscale.plan_executor import PlanExecutor
from autoscale.policy import decide
from autoscale.reconciler import SETTLED
from facerec_tasks.errors import Unavailable
from tests.fake_fleet import FakeFleet, Faults
from tests.memory_state import MemoryStateStore

HOUR = 3600.0


@dataclass
class Life:
    """A controller without signals: it is told the demand, and acts for real on a fake fleet."""

    limits: ScalingLimits
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    now: float = 10_000.0
    mode: str = "stop"
    allowed: bool = True

    def __post_init__(self) -> None:
        self.state = MemoryStateStore()
        self.fleet = FakeFleet(lambda: self.now, faults=self.faults, seed=self.seed)
        self.accepted = 0.0
        self.restart()

    def restart(self) -> None:
        self.memory = PolicyState()
        self.execution = PlanExecutor(
            self.fleet, Launcher(self.fleet, self.state), self.mode, lambda: self.allowed
        )
        self.execution.recover(self.now)

    def step(self, waiting: int, seconds: float = 2.0) -> None:
        self.now += seconds
        try:
            machines = self.execution.machines(self.now)
        except Unavailable:
            return
        self.accepted += max(0, waiting - self.memory.waiting)
        demand = Demand(waiting, waiting, self.accepted, "exact")
        snapshot = FleetSnapshot(demand, machines, self.memory, self.execution.unconfirmed)
        plan = decide(snapshot, self.limits, self.now)
        self.memory = plan.memory
        self.execution.apply(plan, self.now)
        self.execution.reconcile_names(self.now)

    @property
    def live(self) -> int:
        return sum(m.live for m in self.fleet.truth)


def test_burst_scales_out_with_names_and_ends_stopped() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    life.step(100)
    assert life.live == 15
    life.step(100)
    assert sorted(m.number or 0 for m in life.fleet.truth) == list(range(1, 16))
    for _ in range(20):
        life.step(0)
    assert {m.state for m in life.fleet.truth} <= {"stopping", "stopped"}


def test_second_burst_while_machines_are_stopping() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    for waiting in (100, 100, 100, 100, *[0] * 6):
        life.step(waiting)
    assert life.live == 0
    life.step(100, seconds=20)
    life.step(100)
    assert life.live == 15
    for _ in range(60):
        life.step(0)
    kept = [m.number for m in life.fleet.truth if m.state == "stopped"]
    assert sorted(n or 0 for n in kept) == list(range(1, 16))


def test_stopped_machines_are_started_again() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    for waiting in (100, 100, 100, 100, *[0] * 30):
        life.step(waiting)
    life.step(100)
    assert len(life.fleet.truth) == 15
    assert life.live == 15


def test_pending_machine_is_terminated_when_not_wanted() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    life.step(3)
    assert life.live == 1
    life.limits = ScalingLimits(cap=0, profile=ONE_PER_BACKLOG)
    life.step(0, seconds=1)
    assert [m.state for m in life.fleet.truth] == ["shutting-down"]


def test_idempotency_of_a_launch_with_lost_response() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG), Faults(lost=1.0, late=1.0))
    life.step(30)
    assert life.execution.unconfirmed == 10
    for _ in range(30):
        life.step(30)
    life.fleet.faults = Faults()
    life.step(30, seconds=90)
    assert life.live == 10
    assert life.execution.unconfirmed == 0


def test_start_with_lost_response_counts_against_cap() -> None:
    life = Life(ScalingLimits(cap=20, profile=ONE_PER_BACKLOG))
    life.fleet = FakeFleet(lambda: life.now, stopping=8.0)
    life.restart()
    waiting = iter((*[3] * 4, *[0] * 10))
    while life.live or not life.fleet.truth:
        life.step(next(waiting))
    for _ in range(6):
        life.step(30)  # while the first machine is stopping
    assert [m.state for m in life.fleet.truth] == ["stopped", *["running"] * 10]
    life.fleet.faults = Faults(lost=1.0)
    life.step(100)
    life.step(100)
    life.fleet.faults = Faults()
    for _ in range(10):
        life.step(100)
    assert life.fleet.most_live == 20


def test_new_leader_counts_machines_just_started() -> None:
    life = Life(ScalingLimits(cap=10, profile=ONE_PER_BACKLOG))
    for waiting in (*[30] * 4, *[0] * 30):
        life.step(waiting)
    life.fleet.faults = Faults(late=1.0, lag=40.0)
    life.step(30)
    assert life.live == 10
    for _ in range(10):
        life.restart()
        life.step(30)
    assert life.fleet.most_live == 10


def test_corrupt_intent_log_is_ignored() -> None:
    for data in (b"", b"[]", b"{}", b'{"launches": [{"x": 1}], "starts": []}'):
        assert IntentLog.from_json(data) == IntentLog()


def test_new_leader_reuses_client_token_of_open_launch() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG), Faults(lost=1.0))
    life.step(30)
    life.fleet.faults = Faults(late=1.0, lag=60)  # what was launched is not listed yet
    life.restart()
    assert life.execution.unconfirmed == 10
    for _ in range(10):
        life.step(30)
    assert len(life.fleet.truth) == 10


def test_new_leader_repeats_a_launch_that_was_never_sent() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    life.state.put(NAME, IntentLog((LaunchIntent("lost", 10, life.now),)).to_json())
    life.restart()
    life.step(30)
    assert {m.token for m in life.fleet.truth} == {"lost"}
    assert life.live == 10


def test_unwanted_open_launch_is_dropped_after_settling() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    life.state.put(NAME, IntentLog((LaunchIntent("lost", 15, life.now),)).to_json())
    life.restart()
    life.step(0)
    assert life.execution.unconfirmed == 15
    life.step(0, seconds=SETTLED + 1)
    assert life.execution.unconfirmed == 0
    assert life.fleet.truth == []


def test_expired_launch_intent_is_ignored() -> None:
    life = Life(ScalingLimits(cap=15))
    life.state.put(NAME, IntentLog((LaunchIntent("old", 15, life.now - HOUR),)).to_json())
    life.restart()
    assert life.execution.unconfirmed == 0


def test_launch_intent_is_written_before_run_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))

    def down(*_: object, **__: object) -> str:
        raise Unavailable("S3 is down")

    monkeypatch.setattr(life.state, "put", down)
    life.step(30)
    assert life.fleet.truth == []


def test_throttling_is_retried_with_backoff() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG), Faults(throttled=1.0))
    for _ in range(60):
        life.step(100)
    assert life.live == 0
    life.fleet.faults = Faults()
    for _ in range(60):
        life.step(100)
    assert life.live == 15


def test_no_ec2_call_without_the_lease() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    life.allowed = False
    life.step(100)
    assert life.fleet.truth == []


@pytest.mark.parametrize("cap", [1, 15, 20])
@settings(max_examples=40, deadline=None)
@given(
    waiting=st.lists(st.sampled_from((0, 0, 0, 1, 30, 100, 400)), min_size=1, max_size=15),
    restarts=st.sets(st.integers(0, 200), max_size=4),
    profile=st.sampled_from((SLO, ONE_PER_BACKLOG)),
    mode=st.sampled_from(("stop", "terminate")),
    faults=st.builds(
        Faults,
        throttled=st.sampled_from((0.0, 0.3)),
        lost=st.sampled_from((0.0, 0.3)),
        late=st.sampled_from((0.0, 0.7)),
    ),
    seed=st.integers(0, 1000),
)
def test_cap_holds_under_ec2_faults(
    cap: int,
    waiting: list[int],
    restarts: set[int],
    profile: ScalingProfile,
    mode: str,
    faults: Faults,
    seed: int,
) -> None:
    limits = ScalingLimits(cap=cap, profile=profile, reuse=mode == "stop")
    life = Life(limits, faults, seed, mode=mode)
    for n in range(5 * len(waiting)):
        if n in restarts:
            life.restart()
        life.step(waiting[n // 5])
        assert life.fleet.most_live <= cap
    life.fleet.faults = Faults()
    for _ in range(50):
        life.step(0, seconds=6)
    assert life.live == 0
    numbers = [m.number for m in life.fleet.truth if m.state not in ("terminated", "shutting-down")]
    assert len(set(numbers)) == len(numbers)


class _Full(FakeFleet):
    """An EC2 that has room for a few at a time."""

    room = 3

    def launch(self, count: int, token: str) -> list[str]:
        if count > self.room:
            raise InsufficientCapacity("InsufficientInstanceCapacity")
        return super().launch(count, token)


def test_insufficient_capacity_halves_the_launch() -> None:
    life = Life(ScalingLimits(cap=15, profile=ONE_PER_BACKLOG))
    life.fleet = _Full(lambda: life.now)
    life.restart()
    for _ in range(60):
        life.step(100)
    assert life.live == 15
    assert life.fleet.most_live == 15
