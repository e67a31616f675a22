"""Scale-in for long tasks."""

from collections.abc import Sequence

from autoscale.drain import DrainTracker
from autoscale.model import (
    ONE_PER_BACKLOG,
    Demand,
    FleetSnapshot,
    Machine,
    PolicyState,
    ScalingLimits,
)
from autoscale.policy import decide

NOW = 1000.0
A = Machine("i-a", "running", NOW - 300, 1, NOW - 290, ready=True)
B = Machine("i-b", "running", NOW - 200, 2, NOW - 190, ready=True)


def nodes(machine: str) -> str | None:
    return f"worker@{machine}"


class Workers:
    """Confirm, or are deaf."""

    def __init__(self, *deaf: str, broken: bool = False) -> None:
        self.deaf, self.broken = deaf, broken

    def __call__(self, asked: Sequence[str]) -> list[str]:
        if self.broken:
            raise ConnectionError("no broker")
        return [node for node in asked if node not in self.deaf]


def test_drain_starts_on_confirmation_and_ends_when_idle() -> None:
    drain = DrainTracker(Workers("worker@i-b"), longest=900.0)
    drain.begin({"i-a": nodes("i-a"), "i-b": nodes("i-b")}, NOW)
    assert [m.draining for m in drain.mark([A, B])] == [True, False]
    busy = [Machine("i-a", "running", NOW - 300, busy=True), B]
    assert drain.done(busy, NOW + 2) == ()
    idle = [Machine("i-a", "running", NOW - 300, busy=False), B]
    assert drain.done(idle, NOW) == (), "its word is from before the confirmation"
    assert drain.done(idle, NOW + 2) == ("i-a",)
    silent = [Machine("i-a", "running", NOW - 300, busy=None), B]
    assert drain.done(silent, NOW + 899) == ()
    assert drain.done(silent, NOW + 900) == ("i-a",)


def test_drain_does_not_start_when_broker_fails() -> None:
    drain = DrainTracker(Workers(broken=True), longest=900.0)
    drain.begin({"i-a": nodes("i-a")}, NOW)
    assert drain.done([A], NOW + 9999) == ()


def test_drain_is_over_at_once_for_a_worker_that_never_answered() -> None:
    drain = DrainTracker(Workers(), longest=900.0)
    drain.begin({"i-a": None}, NOW)
    assert drain.done([A], NOW) == ("i-a",)


def test_draining_machine_counts_against_cap_only() -> None:
    drain = DrainTracker(Workers(), longest=900.0)
    drain.begin({"i-a": nodes("i-a")}, NOW)
    machines = drain.mark([A, B])
    demand = Demand(30, 30, 30.0, "exact")
    plan = decide(
        FleetSnapshot(demand, machines, PolicyState()),
        ScalingLimits(cap=4, profile=ONE_PER_BACKLOG),
        NOW,
    )
    assert plan.launch == 2
    assert plan.target == 4


def test_step_that_scales_out_stops_nothing() -> None:
    drain = DrainTracker(Workers(), longest=900.0)
    drain.begin({"i-a": None}, NOW)
    machines = drain.mark([A])
    demand = Demand(30, 30, 30.0, "exact")
    plan = decide(
        FleetSnapshot(demand, machines, PolicyState()),
        ScalingLimits(cap=4, profile=ONE_PER_BACKLOG),
        NOW,
    )
    assert plan.launch
    assert drain.phased(plan, machines, nodes, NOW).stop == ()
