"""One snapshot of the system, as the status page shows it. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facerec_tasks.control_schemas import Decision
from webapp.pages.aws_readings import AwsReading
from webapp.pages.decisions import summary
from webapp.services.recent_answers import SLOT, SLOTS, AnswerStatistics, slot_of

LONGEST_HOLD = 65.0
"""Seconds a reading stands for what follows; at rest the controller looks at EC2 once a minute."""
SILENT = 400.0
"""Seconds after which a controller that writes nothing is said to be silent."""
MACHINES = ("pending", "booting", "ready", "stopping")


@dataclass(frozen=True)
class SnapshotInputs:
    """Everything a picture is made from."""

    now: float
    readings: Sequence[AwsReading]
    """Ours, oldest first; the last is of this moment."""
    steps: Sequence[Decision]
    """The controller's, oldest first."""
    changes: Sequence[Decision]
    """Its latest ones that changed something, oldest first, however old."""
    slots: Sequence[AnswerStatistics]
    minute: AnswerStatistics
    window: AnswerStatistics
    outstanding: int
    controller_seen: float | None
    """When the controller last renewed its lease."""
    billed: float
    """Instance-seconds since midnight UTC."""
    complete: bool
    hourly: float | None
    """Dollars of a machine and hour."""
    instance_type: str
    faults: tuple[str, ...] = ()


def render_snapshot(inputs: SnapshotInputs) -> dict[str, Any]:
    """The picture as plain JSON types. Times are Unix seconds."""
    latest = inputs.readings[-1]
    limits = inputs.steps[-1].limits if inputs.steps else {}
    return {
        "at": round(inputs.now, 1),
        "queue": {"visible": latest.visible, "in_flight": latest.in_flight, "dead": latest.dead},
        "outstanding": inputs.outstanding,
        "machines": _machines_now(inputs) | {"cap": limits.get("cap")},
        "answers": {
            "per_minute": inputs.minute.count,
            "count": inputs.window.count,
            "p50": _rounded(inputs.window.p50),
            "p95": _rounded(inputs.window.p95),
            "p99": _rounded(inputs.window.p99),
            "slo": limits.get("slo"),
        },
        "cost": _cost(inputs),
        "controller": _controller(inputs),
        "series": _series(inputs),
        "faults": list((*latest.faults, *inputs.faults)),
    }


def _machines_now(inputs: SnapshotInputs) -> dict[str, int]:
    last = inputs.steps[-1] if inputs.steps else Decision("", 0.0)
    live = inputs.readings[-1].machines
    states = last.machines if live is None else live
    found = _stages(states, last.machines.get("ready", 0))
    return found | {"stopped": states.get("stopped", 0)}


def _stages(states: dict[str, int], ready: int) -> dict[str, int]:
    """EC2 says ``running`` from the power button on; only its worker's answer makes it ready."""
    running = states.get("running", 0)
    ready = min(ready, running)
    return {
        "pending": states.get("pending", 0),
        "booting": running - ready,
        "ready": ready,
        "stopping": states.get("stopping", 0) + states.get("shutting-down", 0),
    }


def _cost(inputs: SnapshotInputs) -> dict[str, Any]:
    hours = inputs.billed / 3600
    dollars = round(hours * inputs.hourly, 4) if inputs.hourly is not None else None
    return {
        "hours": round(hours, 3),
        "dollars": dollars,
        "type": inputs.instance_type,
        "complete": inputs.complete,
    }


def _controller(inputs: SnapshotInputs) -> dict[str, Any]:
    seen = max(
        (t for t in (inputs.controller_seen, inputs.steps[-1].at if inputs.steps else None) if t),
        default=None,
    )
    return {
        "seen": seen,
        "silent": seen is None or inputs.now - seen > SILENT,
        "decisions": [
            {"at": round(step.at, 1), "words": summary(step)} for step in inputs.changes[::-1]
        ],
    }


def _series(inputs: SnapshotInputs) -> dict[str, Any]:
    last = slot_of(inputs.now)
    ends = [(slot + 1) * SLOT for slot in range(last - SLOTS + 1, last + 1)]
    moments = _moments(inputs)
    times = [moment[0] for moment in moments]
    held = [_held(moments, times, min(end, inputs.now)) for end in ends]
    names = ("visible", "in_flight", *MACHINES)
    found: dict[str, Any] = {name: [moment.get(name) for moment in held] for name in names}
    found["stopping"] = _most(found["stopping"], moments, last)
    found["answered"] = [slot.count for slot in inputs.slots]
    found["p50"] = [_rounded(slot.p50) for slot in inputs.slots]
    found["p95"] = [_rounded(slot.p95) for slot in inputs.slots]
    return {"start": ends[0] - SLOT, "step": SLOT, **found}


def _after(step: Decision, stages: dict[str, int]) -> dict[str, int]:
    """What the step leaves: at rest the next reading comes only a while later."""
    ending = sum(
        step.changes.get(kind, 0) for kind in ("stop", "replace") if kind not in step.failures
    )
    found = dict(stages)
    for stage in ("pending", "booting", "ready"):
        gone = min(ending, found[stage])
        found[stage] -= gone
        found["stopping"] += gone
        ending -= gone
    return found


def _most(
    values: list[int | None], moments: Sequence[tuple[float, dict[str, int | None]]], last: int
) -> list[int | None]:
    """The most within each slot: a short drain should be seen, and counts to no cap."""
    found = list(values)
    for at, moment in moments:
        index = len(found) - 1 - (last - slot_of(at))
        if index >= 0:
            found[index] = max(found[index] or 0, moment.get("stopping") or 0)
    return found


def _moments(inputs: SnapshotInputs) -> list[tuple[float, dict[str, int | None]]]:
    """The controller's readings and ours in one line of time."""
    found: list[tuple[float, dict[str, int | None]]] = []
    ready: list[tuple[float, int]] = []
    for step in inputs.steps:
        stages = _stages(step.machines, step.machines.get("ready", 0))
        counts = {"visible": step.visible, "in_flight": step.in_flight}
        found.append((step.at, {**counts, **stages}))
        after = _after(step, stages)
        found.append((step.at, {**counts, **after}))
        ready.append((step.at, after["ready"]))
    times = [at for at, _ in ready]
    for reading in inputs.readings:
        if reading.machines is not None:
            before = bisect_right(times, reading.at) - 1
            stages = _stages(reading.machines, ready[before][1] if before >= 0 else 0)
            counts = {"visible": reading.visible, "in_flight": reading.in_flight}
            found.append((reading.at, {**counts, **stages}))
    return sorted(found, key=lambda moment: moment[0])


def _held(
    moments: Sequence[tuple[float, dict[str, int | None]]], times: Sequence[float], at: float
) -> dict[str, int | None]:
    """What was known last at that time, if it is not too old to stand for it."""
    index = bisect_right(times, at) - 1
    if index < 0 or at - times[index] > LONGEST_HOLD:
        return {}
    return moments[index][1]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
