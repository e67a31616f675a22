"""Decisions in words."""

import pytest

from autoscale.decisions import Decision, record
from autoscale.explain import explain
from autoscale.model import (
    ONE_PER_BACKLOG,
    Demand,
    FleetSnapshot,
    Machine,
    PolicyState,
    ScalingLimits,
)
from autoscale.policy import decide
from autoscale.readings import StepReadings
from autoscale.signals import InFlightReading, QueueLengths
from facerec_tasks.control_schemas import ProcessReport

NOW = 1_800_000_000.0


def told(
    demand: Demand | None,
    *machines: Machine,
    limits: ScalingLimits | None = None,
    memory: PolicyState | None = None,
    done: dict[str, object] | None = None,
) -> str:
    limits = limits or ScalingLimits(cap=15)
    plan = decide(FleetSnapshot(demand, machines, memory or PolicyState()), limits, NOW)
    seen = StepReadings(machines=machines, demand=demand)
    if demand:
        process = ProcessReport("web-0", "e", NOW - 100, demand.grow, 0, demand.grow)
        seen.requests = InFlightReading(NOW, (process,))
        seen.counts = QueueLengths(NOW, demand.grow, 0)
    made = record("r-1", NOW, seen, machines, 0, plan, limits, done or {})
    return explain(Decision.from_json(made.to_json()))


def test_explain_a_burst() -> None:
    words = told(
        Demand(100, 100, 100.0, "exact"), limits=ScalingLimits(cap=15, profile=ONE_PER_BACKLOG)
    )
    assert words == (
        "2027-01-15 08:00:00 UTC, step r-1: 100 photos to do (the web tier waits for exactly 100; "
        "the queue counts 100 visible and 0 in flight). Machines: none. Needed: 15 (more would "
        "help, but the limit of machines is 15). Decided: launch 15 new machines. Not more: the "
        "cap is reached. Not fewer: 15 machines are needed."
    )


def test_explain_scale_in_of_the_last_machine() -> None:
    machine = Machine("i-1", "running", NOW - 300, 1, NOW - 290, ready=True)
    words = told(Demand(0, 0, 5.0, "exact"), machine)
    assert "No photo to do" in words
    assert "Decided: stop app-tier-instance-1 (i-1): not needed any more." in words
    assert "Not fewer: none is left." in words


@pytest.mark.parametrize(
    ("demand", "limits", "words"),
    [
        (
            Demand(1, 1, 1.0, "lower"),
            ScalingLimits(cap=15),
            "the slowest boot alone would miss 60 s",
        ),
        (
            Demand(1, 1, 1.0, "lower"),
            ScalingLimits(cap=15, boot_worst=30),
            "one machine does the work in time",
        ),
        (
            Demand(400, 400, 1.0, "lower"),
            ScalingLimits(cap=15),
            "400 photos are to be done within 54 s",
        ),
        (
            Demand(9, 9, 1.0, "lower"),
            ScalingLimits(cap=15, profile=ONE_PER_BACKLOG),
            "the profile one-per-backlog",
        ),
    ],
)
def test_explain_every_reason(demand: Demand, limits: ScalingLimits, words: str) -> None:
    assert words in told(demand, limits=limits)


def test_explain_a_sum_that_can_be_done_again() -> None:
    machines = [Machine(f"i-{n}", "running", NOW - 300, n, NOW - 290, ready=True) for n in (1, 2)]
    words = told(Demand(600, 600, 600.0, "exact"), *machines)
    assert (
        "Needed: 7 (600 photos are to be done within 54 s; the 2 machines there do 432 by then, "
        "and a new one 40 of the 168 left). Decided: launch 5 new machines." in words
    )


def test_explain_a_single_photo_in_the_singular() -> None:
    machine = Machine("i-1", "running", NOW - 300, 1, NOW - 290, ready=True)
    words = told(Demand(1, 1, 1.0, "exact"), machine)
    assert "1 photo to do" in words
    assert "Not more: 1 machine is needed, 1 is there. Not fewer: 1 machine is needed." in words


def test_explain_what_is_started_and_stopped_by_name() -> None:
    stopped = [Machine(f"i-{n}", "stopped", NOW - 900, n) for n in (1, 2)]
    words = told(Demand(1, 1, 1.0, "exact"), *stopped)
    assert "Decided: start app-tier-instance-1 (i-1) and app-tier-instance-2 (i-2)." in words
    idle = [
        Machine(f"i-{n}", "running", NOW - 300, n, NOW - 290, ready=True, busy=False)
        for n in (1, 2)
    ]
    words = told(Demand(0, 0, 5.0, "exact"), *idle)
    assert (
        "Decided: stop app-tier-instance-1 (i-1) and app-tier-instance-2 (i-2): idle and not "
        "needed any more." in words
    )


def test_explain_a_missing_reading() -> None:
    assert "The work could not be counted. So nothing is changed." in told(None)
    failed = told(None, done={"GetQueueAttributes": "Unavailable: RequestThrottled"})
    assert "The queue could not be read: GetQueueAttributes failed" in failed


def test_explain_throttling_of_the_listing() -> None:
    machine = Machine("i-1", "running", NOW - 300, 1, NOW - 290, ready=True)
    demand = Demand(9, 9, 9.0, "exact")
    words = told(demand, machine, done={"DescribeInstances": "Unavailable: RequestLimitExceeded"})
    assert "The fleet could not be read: DescribeInstances failed" in words
    assert "9 photos to do" in words
    assert "Machines as last listed: 1 running" in words
    assert "queue could not" not in words


def test_explain_a_replacement_by_machine_and_cause() -> None:
    machine = Machine("i-1", "running", NOW - 300, 1, NOW - 290, ready=False)
    words = told(Demand(1, 1, 5.0, "exact"), machine)
    assert "Decided: replace app-tier-instance-1 (i-1): its worker has not" in words
    assert "answered 300 s after its start" in words


def test_explain_a_failed_call() -> None:
    words = told(Demand(9, 9, 9.0, "exact"), done={"launch": "Unavailable: throttled"})
    assert "But launch failed (Unavailable: throttled)." in words
