"""Cost of a day, split by use, computed from the stored decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from autoscale.decisions import Decision
from autoscale.keep_alive import LEAST_BILLED
from autoscale.simulation.environment import Environment
from autoscale.simulation.lower_bound import lower_bound
from autoscale.simulation.traces import recorded
from facerec_tasks.prices import HOURLY

DISK_GIB = 8
DISK_MONTH = 0.08
"""Dollars a GiB-month of gp3: https://aws.amazon.com/ebs/pricing/"""
MONTH = 730 * 3600.0
LONGEST_STEP = 60.0
"""Seconds of one step that are counted; a longer gap is time nobody watched."""


@dataclass(frozen=True)
class CostReport:
    """Seconds are instance-seconds."""

    steps: int
    watched: float
    """Seconds between the first and the last step, gaps left out."""
    unwatched: float
    """Seconds of gaps: no controller wrote down what it saw."""
    photos: int
    launches: int
    starts: int
    stops: int
    replaced: int
    peak: int
    billed: float
    booting: float
    """Of these, before the worker answered."""
    working: float
    """Of these, in tasks: photos times service time over processes."""
    minimum_waste: float
    """Of these, billed only because each period is billed 60 s at least."""
    idle: float
    """The rest."""
    stopped: float
    """Seconds of stopped machines, whose disks are paid for."""
    dollars: float | None
    """Machines and disks; none when the price of the machine is not known."""
    dollars_per_thousand: float | None
    lower_bound: float
    """Proven least of billed seconds for these arrivals."""

    @property
    def ratio(self) -> float | None:
        """Billed seconds over the floor."""
        return self.billed / self.lower_bound if self.lower_bound else None


def report(
    decisions: Sequence[Decision], instance_type: str, hourly: float | None = None
) -> CostReport:
    """Adds up what the steps say. ``hourly`` is the price of a machine if it is not in the list."""
    spans = [(a, min(b.at - a.at, LONGEST_STEP)) for a, b in pairwise(decisions) if b.at > a.at]
    whole = decisions[-1].at - decisions[0].at if decisions else 0.0
    watched = sum(seconds for _, seconds in spans)
    running = _integral(spans, "running")
    waste = sum(max(0.0, LEAST_BILLED - s) for d in decisions for s in d.ran.values())
    booting = max(0.0, running - _integral(spans, "ready")) if _knows_ready(decisions) else 0.0
    arrivals, environment = recorded(decisions), _environment(decisions)
    photos = len(arrivals)
    working = min(running, photos * environment.service / environment.processes)
    billed = running + waste
    stopped = _integral(spans, "stopped")
    price = hourly if hourly is not None else HOURLY.get(instance_type)
    dollars = None
    if price is not None:
        disks = (running + stopped) * DISK_GIB * DISK_MONTH / MONTH
        dollars = billed * price / 3600 + disks
    return CostReport(
        steps=len(decisions),
        watched=watched,
        unwatched=max(0.0, whole - watched),
        photos=photos,
        launches=_accepted(decisions, "launch"),
        starts=_accepted(decisions, "start"),
        stops=_accepted(decisions, "stop"),
        replaced=_accepted(decisions, "replace"),
        peak=max((_live(d) for d in decisions), default=0),
        billed=billed,
        booting=booting,
        working=working,
        minimum_waste=waste,
        idle=max(0.0, running - booting - working),
        stopped=stopped,
        dollars=dollars,
        dollars_per_thousand=1000 * dollars / photos if dollars is not None and photos else None,
        lower_bound=lower_bound(arrivals, environment),
    )


def _integral(spans: Sequence[tuple[Decision, float]], state: str) -> float:
    return float(sum(d.machines.get(state, 0) * seconds for d, seconds in spans))


def _accepted(decisions: Sequence[Decision], action: str) -> int:
    """Machines for which EC2 has accepted it; an error in words is none."""
    results = (d.done.get(action) for d in decisions)
    return sum(len(r) for r in results if isinstance(r, list))


def _live(decision: Decision) -> int:
    return decision.machines.get("pending", 0) + decision.machines.get("running", 0)


def _knows_ready(decisions: Sequence[Decision]) -> bool:
    return any(d.machines.get("ready") for d in decisions)


def _environment(decisions: Sequence[Decision]) -> Environment:
    """A world whose machines are as fast as was known last, boots at their best."""
    limits = next((d.limits for d in reversed(decisions) if d.limits), {})
    assumed = Environment()
    boot = float(limits.get("boot", assumed.boot[0]))
    return replace(
        assumed,
        cap=int(limits.get("cap", assumed.cap)),
        slo=float(limits.get("slo", assumed.slo)),
        service=float(limits.get("service", assumed.service)),
        processes=int(limits.get("processes", assumed.processes)),
        boot=(min(boot, assumed.boot[0]), max(boot, float(limits.get("boot_worst", 60.0)))),
    )
