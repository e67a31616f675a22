"""The law, case by case."""

from dataclasses import replace
from typing import Any

import pytest

from autoscale.arrivals import arrival_rate
from autoscale.keep_alive import Level
from autoscale.model import (
    ONE_PER_BACKLOG,
    Demand,
    FleetSnapshot,
    InstanceState,
    Machine,
    PolicyState,
    ScalingLimits,
    ScalingPlan,
)
from autoscale.policy import decide

NOW = 1000.0
LIMITS = ScalingLimits(cap=15)
BACKLOG_LIMITS = ScalingLimits(cap=15, profile=ONE_PER_BACKLOG)


def machine(
    n: int,
    state: InstanceState = "running",
    *,
    age: float = 300.0,
    ready: bool | None = True,
    busy: bool | None = None,
) -> Machine:
    since = NOW - age
    return Machine(
        id=f"i-{n:02d}",
        state=state,
        since=since,
        number=n,
        running_since=since + 5 if state == "running" else None,
        ready=ready if state == "running" else False,
        up_since=since + 30 if ready and state == "running" else None,
        busy=busy,
    )


def snapshot(waiting: int, *machines: Machine, memory: PolicyState | None = None) -> FleetSnapshot:
    demand = Demand(waiting, waiting, float(waiting), "exact")
    return FleetSnapshot(demand, machines, memory or PolicyState())


def remembered(needs: int, at: float = NOW - 2) -> PolicyState:
    return PolicyState(accepted=((at, 0.0),), levels=(Level(at, at),) * needs, target=needs)


@pytest.mark.parametrize(
    ("waiting", "limits", "target", "bound"),
    [
        pytest.param(0, LIMITS, 0, "rest", id="nothing to do, nothing started"),
        pytest.param(1, LIMITS, 2, "hedge", id="a slow boot alone would break the objective"),
        pytest.param(1, replace(LIMITS, boot_worst=30), 1, "one", id="one photo, one machine"),
        pytest.param(500, LIMITS, 11, "deadline", id="a backlog by what is left of the objective"),
        pytest.param(9999, LIMITS, 15, "cap", id="never more than the cap"),
        pytest.param(9999, replace(LIMITS, cap=0), 0, "cap", id="a cap of none"),
        pytest.param(100, BACKLOG_LIMITS, 15, "cap", id="a burst fills the cap"),
        pytest.param(10, BACKLOG_LIMITS, 4, "profile", id="a machine for each three photos"),
        pytest.param(1, BACKLOG_LIMITS, 1, "one", id="no second machine against slow boots"),
    ],
)
def test_required_machines_from_zero(
    waiting: int, limits: ScalingLimits, target: int, bound: str
) -> None:
    plan = decide(snapshot(waiting), limits, NOW)
    assert (plan.target, plan.terms.reason) == (target, bound)
    assert plan.launch == target
    assert not plan.stop


def test_missing_reading_changes_nothing() -> None:
    before = remembered(5)
    plan = decide(FleetSnapshot(None, (machine(1), machine(2)), before), LIMITS, NOW)
    assert not plan.changes
    assert plan.memory == before
    assert plan.target == 5


def test_stopped_machines_start_first_in_order_of_name() -> None:
    stopped = [machine(n, "stopped") for n in (7, 3, 5)]
    plan = decide(snapshot(12, *stopped), BACKLOG_LIMITS, NOW)
    assert plan.target == 4
    assert plan.start == ("i-03", "i-05", "i-07")
    assert plan.launch == 1


def test_terminate_mode_starts_no_stopped_machine() -> None:
    plan = decide(snapshot(9, machine(1, "stopped")), replace(BACKLOG_LIMITS, reuse=False), NOW)
    assert (plan.start, plan.launch) == ((), 3)


def test_stopping_machine_neither_counts_nor_starts() -> None:
    stopping = [machine(n, "stopping") for n in range(1, 16)]
    plan = decide(snapshot(100, *stopping), BACKLOG_LIMITS, NOW)
    assert (plan.start, plan.launch) == ((), 15)


@pytest.mark.parametrize(("pending", "unconfirmed", "launch"), [(10, 0, 5), (10, 5, 0), (0, 15, 0)])
def test_pending_and_unconfirmed_count_against_cap(
    pending: int, unconfirmed: int, launch: int
) -> None:
    machines = [machine(n, "pending", age=5) for n in range(pending)]
    seen = replace(snapshot(100, *machines), unconfirmed=unconfirmed)
    assert decide(seen, BACKLOG_LIMITS, NOW).launch == launch


def test_scale_in_waits_for_hold_time() -> None:
    fleet = [machine(1), machine(2), machine(3)]
    early = decide(snapshot(0, *fleet, memory=remembered(3, NOW - 9)), LIMITS, NOW)
    later = decide(snapshot(0, *fleet, memory=remembered(3, NOW - 25)), LIMITS, NOW)
    late = decide(snapshot(0, *fleet, memory=remembered(3, NOW - 99)), LIMITS, NOW)
    assert (early.target, early.stop) == (3, ())
    assert later.target == 1, "the first machine is the dearest to start again"
    assert late.target == 0
    assert set(late.stop) == {"i-01", "i-02", "i-03"}


def test_scale_in_order_pending_idle_silent_busy() -> None:
    fleet = [
        machine(1, busy=True),
        machine(2),
        machine(3, busy=False),
        machine(4, "pending", age=3),
    ]
    order = []
    for keep in (3, 2, 1, 0):
        memory = remembered(keep, NOW - 1) if keep else PolicyState()
        stop = decide(snapshot(0, *fleet, memory=memory), LIMITS, NOW).stop
        order += [i for i in stop if i not in order]
    assert order == ["i-04", "i-03", "i-02", "i-01"]


def test_scale_in_waits_for_the_billed_minute() -> None:
    young, old = machine(1, age=30), machine(2, age=300)
    plan = decide(snapshot(0, young, old), LIMITS, NOW)
    assert plan.stop == ("i-02",)
    assert decide(snapshot(0, young, old), BACKLOG_LIMITS, NOW).stop == ("i-02", "i-01")


def test_last_machine_stays_while_work_is_possible() -> None:
    demand = Demand(0, 3, 0.0, "counts")
    seen = FleetSnapshot(demand, (machine(1), machine(2)), PolicyState(target=2))
    assert decide(seen, LIMITS, NOW).stop == ("i-01",)


def test_no_scale_in_on_partial_reading() -> None:
    demand = Demand(0, 0, 0.0, "exact", may_shrink=False)
    plan = decide(FleetSnapshot(demand, (machine(1),), PolicyState(target=1)), LIMITS, NOW)
    assert (plan.stop, plan.target) == ((), 1)
    assert not decide(FleetSnapshot(demand, (machine(1),), PolicyState(target=0)), LIMITS, NOW).stop


def test_one_per_backlog_keeps_all_machines_until_the_last_answer() -> None:
    fleet = [machine(n, age=50) for n in range(15)]
    memory = PolicyState(
        levels=(Level(NOW - 6, NOW - 90), *(Level(NOW - 40, NOW - 90),) * 14), target=15
    )
    assert not decide(snapshot(1, *fleet, memory=memory), BACKLOG_LIMITS, NOW).stop
    assert len(decide(snapshot(0, *fleet, memory=memory), BACKLOG_LIMITS, NOW).stop) == 15


@pytest.mark.parametrize(
    ("age", "ready", "replaced"),
    [
        pytest.param(89, False, False, id="slow, not failed"),
        pytest.param(91, False, True, id="failed"),
        pytest.param(9999, None, False, id="cannot be asked"),
        pytest.param(9999, True, False, id="up"),
    ],
)
def test_boot_timeout_is_one_and_a_half_times_the_worst(
    age: float, ready: bool | None, replaced: bool
) -> None:
    plan = decide(snapshot(1, machine(1, age=age, ready=ready)), LIMITS, NOW)
    assert plan.replace == (("i-01",) if replaced else ())
    assert not (plan.replace and (plan.launch or plan.start))


def test_boot_timeout_extends_while_others_come_up() -> None:
    up = replace(machine(2, age=120), up_since=NOW - 5)
    assert not decide(snapshot(9, machine(1, age=100, ready=False), up), LIMITS, NOW).replace
    assert decide(snapshot(9, machine(1, age=200, ready=False), up), LIMITS, NOW).replace


def test_faulty_machine_is_replaced() -> None:
    assert decide(snapshot(1, replace(machine(1), faulty=True)), LIMITS, NOW).replace == ("i-01",)


def test_launch_breaker_limits_scale_out() -> None:
    seen = snapshot(100, machine(1, "stopped"), machine(2, "stopped"))
    assert decide(seen, replace(BACKLOG_LIMITS, launch_limit=1), NOW).start == ("i-01",)
    assert not decide(seen, replace(BACKLOG_LIMITS, launch_limit=0), NOW).changes


def test_falling_target_rises_only_on_arrival_return_or_loss() -> None:
    falling = PolicyState(accepted=((NOW - 2, 50.0),), target=3, falling=True, waiting=50)
    demand = Demand(50, 50, 50.0, "exact")
    slow = BACKLOG_LIMITS
    fleet = tuple(machine(n) for n in range(3))
    stay = frozenset(m.id for m in fleet)
    unchanged = FleetSnapshot(demand, fleet, replace(falling, live=stay))
    assert decide(unchanged, slow, NOW).target == 3
    arrived = replace(unchanged, demand=replace(demand, accepted=51.0))
    assert decide(arrived, slow, NOW).target > 3
    returned = replace(unchanged, memory=replace(unchanged.memory, waiting=49))
    assert decide(returned, slow, NOW).target > 3
    lost = replace(unchanged, memory=replace(unchanged.memory, live=stay | {"i-99"}))
    assert decide(lost, slow, NOW).target > 3


@pytest.mark.parametrize(
    ("totals", "rate"),
    [
        pytest.param([(NOW - 2, 0), (NOW, 100)], 0.0, id="a burst is no rate"),
        pytest.param([(NOW - 20, 0), (NOW, 100)], 0.0, id="nor is one that ends a rest"),
        pytest.param([(NOW - 2 * i, -20 * i) for i in range(9)][::-1], 10.0, id="ten a second"),
        pytest.param([(NOW, 7)], 0.0, id="one reading says nothing"),
    ],
)
def test_arrival_rate_is_median_of_buckets(totals: list[tuple[float, float]], rate: float) -> None:
    assert arrival_rate(totals, NOW) == pytest.approx(rate)


def test_steady_rate_gets_machines_for_its_rate() -> None:
    memory = PolicyState(accepted=tuple((NOW - 2.0 * i, -40.0 * i) for i in range(80, 0, -1)))
    seen = FleetSnapshot(Demand(0, 0, 0.0, "exact"), (), memory)
    plan = decide(seen, LIMITS, NOW)
    assert plan.terms.rate == pytest.approx(20)
    assert plan.need == 5  # 20 a second, 4 a machine


def test_booting_machines_are_not_launched_twice() -> None:
    first = decide(snapshot(400), LIMITS, NOW)
    booting = [machine(n, "pending", age=2, ready=False) for n in range(first.launch)]
    second = decide(snapshot(400, *booting, memory=first.memory), LIMITS, NOW + 2)
    assert not second.changes


def test_plan_states_its_reasons() -> None:
    plan = decide(snapshot(9999), LIMITS, NOW)
    assert plan.not_more == "the cap is reached"
    kept = decide(snapshot(0, machine(1), memory=remembered(1)), LIMITS, NOW)
    assert kept.not_less == "1 machine is kept, for being needed again soon or always"


def test_surplus_stopped_machines_are_terminated_at_rest() -> None:
    pool = [machine(n, "stopped") for n in range(1, 19)]
    assert decide(snapshot(0, *pool), LIMITS, NOW).retire == ("i-18", "i-17", "i-16")
    assert not decide(snapshot(5, *pool), LIMITS, NOW).retire
    assert len(decide(snapshot(0, *pool), replace(LIMITS, reuse=False), NOW).retire) == 18


@pytest.mark.parametrize(
    ("photos", "videos", "target"),
    [
        pytest.param(0, 1, 1, id="a video needs a process, and so a machine"),
        pytest.param(0, 2, 1, id="two videos, two processes"),
        pytest.param(0, 3, 2, id="as many processes as videos"),
        pytest.param(5, 1, 1, id="five photos fit beside a video"),
        pytest.param(0, 40, 15, id="never above the cap"),
    ],
)
def test_video_occupies_a_process_and_is_no_backlog(photos: int, videos: int, target: int) -> None:
    waiting = photos + videos
    demand = Demand(waiting, waiting, float(waiting), "exact", videos=videos)
    plan = decide(FleetSnapshot(demand, ()), replace(LIMITS, boot_worst=30), NOW)
    assert plan.target == target


def test_one_per_backlog_ignores_videos() -> None:
    demand = Demand(8, 8, 8.0, "exact", videos=8)
    assert (
        decide(FleetSnapshot(demand, ()), replace(BACKLOG_LIMITS, boot_worst=30), NOW).target == 4
    )


def old(n: int, state: InstanceState = "running", **how: Any) -> Machine:
    return replace(machine(n, state, **how), outdated=True)


def needed(count: int, *machines: Machine, cap: int = 15, waiting: int = 1) -> ScalingPlan:
    """What is decided while that number of machines is needed."""
    seen = snapshot(waiting, *machines, memory=remembered(count))
    return decide(seen, replace(LIMITS, cap=cap), NOW)


def test_rollout_starts_with_one_machine() -> None:
    plan = needed(4, *(old(n) for n in range(4)))
    assert (plan.launch, plan.stop) == (1, ())
    assert plan.not_less == "4 of an old image stay until their successors are up"
    booting = machine(9, "pending", age=3, ready=False)
    assert not needed(4, *(old(n) for n in range(4)), booting).changes, "one at a time"


def test_rollout_doubles_after_first_machine_is_up() -> None:
    fleet = [old(0, busy=True), old(1, busy=False), old(2, busy=True), machine(9)]
    plan = needed(3, *fleet)
    assert (plan.stop, plan.launch) == (("i-01",), 0), "first an idle one is stopped"
    plan = needed(3, old(0), old(2), machine(9))
    assert (plan.stop, plan.launch) == ((), 1)
    plan = needed(6, *(old(n) for n in range(4)), machine(8), machine(9))
    assert plan.launch == 2


def test_rollout_starts_stopped_machines_of_the_new_image_first() -> None:
    plan = needed(2, old(1), old(2), machine(7, "stopped"))
    assert (plan.start, plan.launch) == (("i-07",), 0)


def test_rollout_waits_at_the_cap() -> None:
    plan = needed(3, *(old(n) for n in range(3)), cap=3)
    assert not plan.changes
    assert plan.not_less == "3 of an old image stay: the cap leaves no room"
    plan = needed(2, *(old(n) for n in range(3)), cap=3)
    assert len(plan.stop) == 1, "one less is needed: there is room for a successor then"


def test_scale_in_stops_outdated_machines_first() -> None:
    plan = needed(1, old(1, busy=False), machine(2, busy=False), machine(3, busy=False))
    assert plan.stop == ("i-01", "i-02")
    plan = needed(1, old(1), machine(2, "pending", age=5, ready=False))
    assert not plan.stop, "the old one serves until the new one is up"


def test_stopped_outdated_machines_are_terminated() -> None:
    burst = decide(snapshot(9, old(1, "stopped"), machine(2, "stopped")), BACKLOG_LIMITS, NOW)
    assert (burst.start, burst.launch) == (("i-02",), 2)
    assert decide(snapshot(0, old(1, "stopped"), machine(2, "stopped")), LIMITS, NOW).retire == (
        "i-01",
    )
    assert needed(1, machine(1), old(2, "stopped")).retire == ("i-02",)


def test_failed_rollout_keeps_old_machines() -> None:
    failing = machine(9, age=100, ready=False)
    plan = needed(2, old(1), old(2), failing)
    assert (plan.replace, plan.stop) == (("i-09",), ())
    held = snapshot(1, old(1), old(2), memory=remembered(2))
    waiting = decide(held, replace(LIMITS, launch_limit=0), NOW)
    assert not waiting.changes
    assert waiting.not_less == "2 of an old image stay: boots have failed"


def test_rollout_needs_a_reading() -> None:
    blind = Demand(1, 1, 1.0, "exact", may_shrink=False)
    seen = FleetSnapshot(blind, (old(1), machine(9)), remembered(1))
    assert not decide(seen, LIMITS, NOW).stop
    assert not decide(snapshot(0, old(1)), LIMITS, NOW).launch, "it is stopped: nothing is needed"
