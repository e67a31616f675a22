"""Scale-in for long tasks."""

from collections.abc import Sequence

from autoscale.drain import DrainTracker
from autoscale.model import COURSE, Demand, FleetSnapshot, Machine, PolicyState, ScalingLimits
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


def test_only_a_confirmation_begins_a_drain_and_only_idleness_ends_it() -> None:
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


def test_a_broker_that_fails_begins_nothing() -> None:
    drain = DrainTracker(Workers(broken=True), longest=900.0)
    drain.begin({"i-a": nodes("i-a")}, NOW)
    assert drain.done([A], NOW + 9999) == ()


def test_a_worker_nobody_ever_heard_holds_nothing() -> None:
    drain = DrainTracker(Workers(), longest=900.0)
    drain.begin({"i-a": None}, NOW)
    assert drain.done([A], NOW) == ("i-a",)


def test_a_draining_machine_counts_to_the_cap_and_to_nothing_else() -> None:
    drain = DrainTracker(Workers(), longest=900.0)
    drain.begin({"i-a": nodes("i-a")}, NOW)
    machines = drain.mark([A, B])
    demand = Demand(30, 30, 30.0, "exact")
    plan = decide(
        FleetSnapshot(demand, machines, PolicyState()), ScalingLimits(cap=4, profile=COURSE), NOW
    )
    assert plan.launch == 2
    assert plan.target == 4


def test_nothing_is_stopped_in_a_step_that_starts_machines() -> None:
    drain = DrainTracker(Workers(), longest=900.0)
    drain.begin({"i-a": None}, NOW)
    machines = drain.mark([A])
    demand = Demand(30, 30, 30.0, "exact")
    plan = decide(
        FleetSnapshot(demand, machines, PolicyState()), ScalingLimits(cap=4, profile=COURSE), NOW
    )
    assert plan.launch
    assert drain.phased(plan, machines, nodes, NOW).stop == ()
