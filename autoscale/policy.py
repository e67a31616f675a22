"""The decision: ``decide(snapshot, limits, now) -> ScalingPlan``. Pure: no clock, no calls.

How many machines are needed is :mod:`autoscale.formula`'s; how long those that are not needed are
kept is :mod:`autoscale.keep_alive`'s and :mod:`autoscale.warm_fleet`'s. From zero two machines are
started when the slowest boot alone would break the objective: both being slow is rare enough.

Machines of an old image serve until successors are up: never below the target, never above the cap.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from autoscale import keep_alive, plan_wording
from autoscale.arrivals import LONGEST, stream
from autoscale.formula import Capacity, Required, deadlines, required, still_booting
from autoscale.model import (
    Demand,
    FleetSnapshot,
    FormulaTerms,
    Machine,
    PolicyState,
    Reason,
    ScalingLimits,
    ScalingPlan,
)
from autoscale.step_schedule import WORKING
from autoscale.warm_fleet import TrafficSample, sampled, warm_fleet

REPLACE_AFTER = 1.5
"""Times the worst boot seen. Giving up earlier kills slow boots and costs more than it saves."""
MARGIN = 6.0
"""Seconds before its deadline at which a photo is to be done."""
KEEP_SHARE = 0.7
"""Of the objective: deadlines a machine must not be needed for before it is given up."""


def decide(snapshot: FleetSnapshot, limits: ScalingLimits, now: float) -> ScalingPlan:
    """What to do with the fleet now. A snapshot without a reading changes nothing."""
    if snapshot.machines is None:
        return _unchanged(snapshot, "unlisted", "the machines could not be listed")
    if snapshot.demand is None:
        return _unchanged(snapshot, "unknown", "the work could not be counted")
    live = [m for m in snapshot.machines if m.live]
    failed = _given_up(live, limits, now)
    staying = [m for m in live if not m.draining]
    sound = [m for m in staying if m not in failed]
    terms, need = _need(snapshot.demand, snapshot.memory, sound, limits, now)
    memory = _remember(snapshot, need, limits, now)
    plan = ScalingPlan(memory.target, need, terms, memory)
    if failed:
        causes = tuple((m.id, plan_wording.replaced(m, now)) for m in failed)
        replaced = replace(plan, replace=tuple(m.id for m in failed), causes=causes)
        return _settled(replaced, staying)
    if memory.target > len(staying) + snapshot.unconfirmed:
        missing = memory.target - len(staying) - snapshot.unconfirmed
        return _settled(_more(plan, missing, snapshot, limits), staying)
    plan = _shrunk(plan, staying, snapshot.demand, limits, now)
    if not plan.stop:
        plan = _rolled_out(plan, snapshot, staying, limits, now)
        resting = not live and not memory.target
        retire = _unusable(snapshot.machines, limits, resting=resting)
        plan = replace(plan, retire=retire, causes=plan_wording.retired(snapshot.machines, retire))
    return _settled(plan, staying)


def _unchanged(snapshot: FleetSnapshot, reason: Reason, words: str) -> ScalingPlan:
    held, words = snapshot.memory, f"{words}: nothing is changed"
    terms = FormulaTerms(reason=reason)
    return ScalingPlan(held.target, held.target, terms, held, not_more=words, not_less=words)


def _unusable(
    machines: Iterable[Machine], limits: ScalingLimits, *, resting: bool
) -> tuple[str, ...]:
    """Stopped machines that will never be started again, highest numbers first.

    They are of an old image; or, at rest, beyond the cap: a burst came while they stopped.
    """
    stopped = sorted(
        (m for m in machines if m.state == "stopped"), key=lambda m: (m.number or 0, m.id)
    )
    usable = [m for m in stopped if not m.outdated]
    kept = (
        {m.id for m in usable[: limits.cap if limits.reuse else 0]}
        if resting
        else {m.id for m in usable}
    )
    return tuple(m.id for m in reversed(stopped) if m.id not in kept)


def _given_up(live: list[Machine], limits: ScalingLimits, now: float) -> list[Machine]:
    """Faulty machines, and those that were asked and have not answered in time.

    While others come up one by one, all are slow for one reason: a boot is then given twice the
    time, counted from the last that came up.
    """
    patience = REPLACE_AFTER * limits.boot_worst
    last_up = max((m.up_since for m in live if m.up_since is not None), default=0.0)

    def late(machine: Machine) -> bool:
        begin = min(max(machine.since, last_up), machine.since + patience)
        return machine.ready is False and now - begin > patience

    return [m for m in live if m.faulty or late(m)]


# The law


def _need(
    demand: Demand, memory: PolicyState, sound: list[Machine], limits: ScalingLimits, now: float
) -> tuple[FormulaTerms, int]:
    found = _required(demand, memory, sound, limits, now)
    per_machine = limits.profile.per_machine
    photos = demand.grow - demand.videos
    wanted: list[tuple[int, Reason]] = [
        (1 if demand.grow else 0, "one" if demand.grow else "rest"),
        (found.machines, "rate" if found.by_rate else "deadline"),
        (math.ceil(photos / per_machine) if per_machine else 0, "profile"),
        (_hedge(demand, sound, limits, now), "hedge"),
    ]
    need, reason = max(wanted, key=lambda w: w[0])
    if limits.useful is not None and need > max(1, limits.useful):
        need, reason = max(1, limits.useful), "saturated"
    if need > limits.cap:
        need, reason = limits.cap, "cap"
    rate = stream((*memory.accepted, (now, demand.accepted)), now).rate
    return (
        FormulaTerms(
            rate, limits.rate, found.within, found.due, found.done, found.each, len(sound), reason
        ),
        need,
    )


def _required(
    demand: Demand, memory: PolicyState, sound: list[Machine], limits: ScalingLimits, now: float
) -> Required:
    """The formula's answer: as many as are needed in time, or those there that would soon be."""
    totals = (*memory.accepted, (now, demand.accepted))
    arriving = stream(totals, now)
    videos = demand.videos / limits.processes  # machines they keep busy
    ready = _ready_in(sound, limits, now)[int(videos) :]
    capacity = Capacity(ready, limits.rate, limits.boot)
    slo = limits.slo - min(MARGIN, limits.slo / 10)
    photos = demand.grow - demand.videos
    found = required(deadlines(photos, totals, arriving, slo, limits.boot), capacity)
    sooner = deadlines(photos, totals, arriving, KEEP_SHARE * limits.slo, limits.boot)
    kept = required(sooner, capacity)
    if found.machines < min(len(ready), kept.machines):
        found = replace(kept, machines=min(len(ready), kept.machines))
    return replace(found, machines=max(math.ceil(videos), math.ceil(found.machines + videos - 0.5)))


def _ready_in(sound: list[Machine], limits: ScalingLimits, now: float) -> tuple[float, ...]:
    """Seconds until each of these machines serves, ascending."""
    booting = [m for m in sound if not _is_up(m, limits, now)]
    left = sorted(still_booting(limits.boot, len(booting), now - m.since) for m in booting)
    return (*(0.0 for _ in range(len(sound) - len(booting))), *left)


def _hedge(demand: Demand, sound: list[Machine], limits: ScalingLimits, now: float) -> int:
    """Two machines while none is up and the slowest boot alone would break the objective."""
    up = any(_is_up(m, limits, now) for m in sound)
    alone = limits.profile.name == "slo" and limits.boot_may_miss
    return 2 if demand.grow and alone and not up else 0


def _is_up(machine: Machine, limits: ScalingLimits, now: float) -> bool:
    """It has answered; where that cannot be known, its boot should be over."""
    if machine.ready is None:
        return machine.state == "running" and machine.since + limits.boot <= now
    return machine.ready


# What is remembered


def _remember(snapshot: FleetSnapshot, need: int, limits: ScalingLimits, now: float) -> PolicyState:
    """The target, and what the next step must know."""
    demand, old = snapshot.demand, snapshot.memory
    assert demand is not None
    levels = keep_alive.observe(old.levels, need, now)
    samples, billed = _sampled(snapshot, demand, now)
    live = {m.id for m in snapshot.machines or () if m.live and not m.draining}
    target = max(need, _held(levels, demand, limits, now), _warm(samples, limits))
    if demand.hold:  # what may exist keeps the last machine, but starts none
        target = max(target, min(1, old.target, len(live)))
    target = min(target, limits.cap)
    if not demand.may_shrink:
        target = max(target, old.target)
    falling = _falls(old, demand, live, limits)
    if falling:
        target = min(target, old.target)
    horizon = now - max(LONGEST, limits.slo) - 4.0
    accepted = (*(a for a in old.accepted if a[0] >= horizon), (now, demand.accepted))
    return PolicyState(
        accepted=accepted,
        levels=levels,
        samples=samples,
        billed=billed,
        target=target,
        falling=falling or target < old.target,
        waiting=demand.grow,
    )


def _falls(old: PolicyState, demand: Demand, live: set[str], limits: ScalingLimits) -> bool:
    """Whether a target that has begun to fall goes on: until a photo arrives or returns, or a
    machine is lost. With deadlines it may rise again for a boot that takes long."""
    if limits.profile.hold is None:
        return False
    arrived = bool(old.accepted) and demand.accepted > old.accepted[-1][1]
    return old.falling and not (arrived or demand.grow > old.waiting or old.live - live)


def _sampled(
    snapshot: FleetSnapshot, demand: Demand, now: float
) -> tuple[tuple[TrafficSample, ...], float]:
    """(samples of traffic and cost, machine-seconds until now)"""
    old = snapshot.memory
    running = sum(m.state == "running" for m in snapshot.machines or ())
    billed = old.billed + running * (now - old.accepted[-1][0] if old.accepted else 0.0)
    return sampled(old.samples, TrafficSample(now, demand.accepted, billed)), billed


def _held(
    levels: Sequence[keep_alive.Level], demand: Demand, limits: ScalingLimits, now: float
) -> int:
    """Machines that are kept although fewer are needed."""
    profile = limits.profile
    fixed = profile.hold_busy if demand.hold else profile.hold
    for n in range(len(levels), 0, -1):
        level = levels[n - 1]
        started = 2 if n == 1 and limits.boot_may_miss else 1
        restart = keep_alive.restart_cost(level.run, limits.boot, started)
        seconds = fixed if fixed is not None else keep_alive.hold(level.gaps, restart)
        if now - level.needed <= seconds:
            return n
    return 0


def _warm(samples: Sequence[TrafficSample], limits: ScalingLimits) -> int:
    """Machines that run without any work at hand: as set, or because that costs less."""
    if limits.profile.hold is not None:
        return limits.least
    slow = limits.boot_misses and bool(samples) and samples[-1].arrived > samples[0].arrived
    cheaper = warm_fleet(samples, limits.rate, limits.slo, limits.cap)
    return max(limits.least, cheaper, 1 if slow else 0)


# The plan


def _more(
    plan: ScalingPlan, missing: int, snapshot: FleetSnapshot, limits: ScalingLimits
) -> ScalingPlan:
    """Stopped machines first, lowest number first, then new ones; never above the cap."""
    free = limits.cap - sum(m.live for m in snapshot.machines or ()) - snapshot.unconfirmed
    missing = max(0, min(missing, free))
    if limits.launch_limit is not None:
        missing = min(missing, limits.launch_limit)
    stopped = [
        m
        for m in snapshot.machines or ()
        if m.state == "stopped" and not (m.faulty or m.outdated or m.refused)
    ]
    stopped.sort(key=lambda m: (m.number is None, m.number or 0, m.id))
    start = tuple(m.id for m in stopped[:missing]) if limits.reuse else ()
    return replace(plan, start=start, launch=missing - len(start))


def _shrunk(
    plan: ScalingPlan, staying: list[Machine], demand: Demand, limits: ScalingLimits, now: float
) -> ScalingPlan:
    """Stops what is above the target: those of an old image as far as new ones are up for them."""
    if not demand.may_shrink:
        return plan
    old, new = _by_image(staying)
    up = sum(_is_up(m, limits, now) for m in new)
    needed_old = max(0, plan.target - up)
    stop = [
        m.id
        for machines, kept in ((old, needed_old), (new, plan.target))
        for m in _stoppable(machines, limits, now)[: max(0, len(machines) - kept)]
    ]
    causes = tuple((m.id, plan_wording.stopped(m)) for m in staying if m.id in stop)
    return replace(plan, stop=tuple(stop), causes=causes)


def _stoppable(machines: list[Machine], limits: ScalingLimits, now: float) -> list[Machine]:
    """Those that may be stopped, in the order in which they are."""
    paid = [m for m in machines if not limits.profile.paid_minutes or _paid_up(m, now)]
    return sorted(paid, key=_stop_order)


def _by_image(machines: Iterable[Machine]) -> tuple[list[Machine], list[Machine]]:
    """(those of an old image, the others)"""
    old: list[Machine] = []
    new: list[Machine] = []
    for machine in machines:
        (old if machine.outdated else new).append(machine)
    return old, new


def _rolled_out(
    plan: ScalingPlan,
    snapshot: FleetSnapshot,
    staying: list[Machine],
    limits: ScalingLimits,
    now: float,
) -> ScalingPlan:
    """Starts successors of machines that have an old image, above the target, within the cap.

    One first: an image that does not boot costs one machine. Then as many at once as are up
    already. Their predecessors go when they are up (:func:`_shrunk`); without room within the cap
    they wait until demand leaves some.
    """
    old, new = _by_image(staying)
    if not old or not plan.target:
        return plan
    up = sum(_is_up(m, limits, now) for m in new)
    coming = len(new) - up + snapshot.unconfirmed
    missing = min(plan.target - len(new) - snapshot.unconfirmed, max(1, up) - coming)
    plan = _more(plan, missing, snapshot, limits)
    coming += len(plan.start) + plan.launch
    blocked = "boots have failed" if limits.launch_limit == 0 else "the cap leaves no room"
    return replace(plan, not_less=plan_wording.outdated(len(old), "" if coming else blocked))


def _paid_up(machine: Machine, now: float) -> bool:
    """Whether stopping saves money: not billed yet, or the minute paid for is used up."""
    if machine.running_since is None:
        return machine.state == "pending"
    return now - machine.running_since >= keep_alive.LEAST_BILLED - WORKING


def _stop_order(machine: Machine) -> tuple[bool, int, float, str]:
    busy = {False: 0, None: 1, True: 2}[machine.busy]
    return machine.state != "pending", busy, machine.since, machine.id


def _settled(plan: ScalingPlan, live: list[Machine]) -> ScalingPlan:
    """Remembers which machines are to stay, so that one that is lost is noticed."""
    going = {*plan.stop, *plan.replace}
    stay = frozenset(m.id for m in live if m.id not in going)
    plan = replace(plan, memory=replace(plan.memory, live=stay))
    not_less = plan.not_less or plan_wording.not_less(plan, len(live))
    return replace(plan, not_more=plan_wording.not_more(plan, len(live)), not_less=not_less)
