"""Offline plans and bounds that were solved before: ``benchmarks/plans/<trace>-<seed>.json``.

A plan proves itself when it is executed. A bound does not: ``--solve`` computes both anew.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscale.simulation.environment import Environment
from benchmarks.offline_bound import offline_bound
from benchmarks.offline_plan import OfflinePlan, execute, offline_plan

FOLDER = Path(__file__).parent / "plans"


@dataclass(frozen=True)
class StoredPlan:
    """A plan, and what no plan can stay below in billed seconds."""

    plan: OfflinePlan
    bound: float


def solved(
    name: str, arrivals: Sequence[float], environment: Environment, seed: int, seconds: float
) -> StoredPlan:
    """Solves plan and bound, each within ``seconds``; stores the better of these and those before.

    Raises :class:`RuntimeError` when no plan is in time.
    """
    found = StoredPlan(
        offline_plan(arrivals, environment, seed, seconds),
        offline_bound(arrivals, environment, seed, seconds),
    )
    before = stored(name, arrivals, environment, seed)
    if before is not None:
        plans = (before.plan, found.plan)
        plan = min(plans, key=lambda p: execute(p, arrivals, environment, seed).billed)
        found = StoredPlan(plan, max(before.bound, found.bound))
    FOLDER.mkdir(exist_ok=True)
    fields = {
        "traffic": _digest(arrivals, environment),
        "seconds": seconds,
        "bound": round(found.bound, 1),
        "changes": found.plan.changes,
    }
    _file(name, seed).write_text(json.dumps(fields) + "\n")
    return found


def stored(
    name: str, arrivals: Sequence[float], environment: Environment, seed: int
) -> StoredPlan | None:
    """None where there is none for just this traffic in this environment."""
    try:
        fields: dict[str, Any] = json.loads(_file(name, seed).read_text())
    except FileNotFoundError:
        return None
    if fields["traffic"] != _digest(arrivals, environment):
        return None
    changes = tuple((float(at), int(starts), int(runs)) for at, starts, runs in fields["changes"])
    return StoredPlan(OfflinePlan(changes), float(fields["bound"]))


def _file(name: str, seed: int) -> Path:
    return FOLDER / f"{name}-{seed}.json"


def _digest(arrivals: Sequence[float], environment: Environment) -> str:
    e = environment
    known = (e.cap, e.processes, e.service, e.service_spread, e.slo, e.boot_median)
    text = json.dumps([known, [round(at, 6) for at in arrivals]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
