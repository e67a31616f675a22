"""Our controller beside what needs foresight: the offline plan, its bound, a constant fleet."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from autoscale.simulation.baselines import ConstantFleet
from autoscale.simulation.comparison import arrivals_of, simulate
from autoscale.simulation.environment import Environment
from autoscale.simulation.held_out_traces import HELD_OUT, HELD_OUT_SEED
from autoscale.simulation.online_bound import burst_bound, start_bound
from autoscale.simulation.simulator import RunResult, Simulation
from benchmarks.offline_plan import execute
from benchmarks.stored_plans import solved, stored

BURSTS = ("burst", "two-bursts")
BURST = 100
"""Photos of the first burst of both."""
RARE = ("heavy-tail", "lull", "lone-photos", "batches", "geometric-groups", "regular-bursts")
"""Traces of groups with pauses between: their cost is that of starts from nothing."""


@dataclass(frozen=True)
class Foresight:
    """One trace with one seed. Billed seconds; of all but ours every photo is in time."""

    trace: str
    seed: int
    photos: int
    slo: float
    late: int
    """Of ours."""
    plan: float
    bound: float
    """What no plan can stay below."""
    clairvoyant: float | None
    """Of the simple planner in ``autoscale/simulation/baselines.py``; None when a photo is late."""
    constant: float | None
    """Of the smallest constant fleet that is up beforehand; None when none is in time."""
    machines: int
    online: float | None
    """What no controller can stay below that does not see arrivals and boots ahead: of bursts, and
    of groups with pauses between."""

    @property
    def optimal(self) -> float:
        """The cheapest of the three: the solver has a time limit, and may find less than these."""
        return min(p for p in (self.plan, self.clairvoyant, self.constant) if p is not None)

    @property
    def held_out(self) -> bool:
        return self.trace in HELD_OUT or self.seed >= HELD_OUT_SEED


def run_foresight(
    cases: Sequence[tuple[str, int]], environment: Environment, solve: float | None, processes: int
) -> list[Foresight]:
    """``solve``: seconds of the solver for plans and bounds; None for those that are stored.

    Cases without a stored plan are left out.
    """
    one = partial(_foresight, environment=environment, solve=solve)
    with ProcessPoolExecutor(processes) as pool:
        return [found for found in pool.map(one, cases) if found is not None]


def _foresight(
    case: tuple[str, int], environment: Environment, solve: float | None
) -> Foresight | None:
    trace, seed = case
    arrivals = arrivals_of(trace, seed)
    if solve:
        found = solved(trace, arrivals, environment, seed, solve)
    elif (known := stored(trace, arrivals, environment, seed)) is None:
        return None
    else:
        found = known
    plan = execute(found.plan, arrivals, environment, seed)
    if plan.late:
        raise RuntimeError(f"{trace}, seed {seed}: the stored plan is late")
    ours = simulate("slo", arrivals, environment, seed)
    foreseen = simulate("clairvoyant", arrivals, environment, seed)
    machines, constant = _constant(arrivals, environment, seed)
    online = burst_bound(BURST, environment) if trace in BURSTS else None
    if trace in RARE:
        online = start_bound(arrivals, environment)
    return Foresight(
        trace,
        seed,
        ours.tasks,
        ours.billed,
        ours.late,
        plan.billed,
        found.bound,
        None if foreseen.late else foreseen.billed,
        constant,
        machines,
        online,
    )


def _constant(
    arrivals: Sequence[float], environment: Environment, seed: int
) -> tuple[int, float | None]:
    """The smallest fleet that answers every photo in time, and what it bills."""

    def run(machines: int) -> RunResult:
        return Simulation(arrivals, ConstantFleet(machines), environment, seed).run()

    few, enough = 0, environment.cap
    if run(enough).late:
        return enough, None
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if run(middle).late else (few, middle)
    return enough, run(enough).billed


def parts(found: Sequence[Foresight]) -> dict[str, list[Foresight]]:
    """By what the constants of the controller were chosen on."""
    return {
        "Traces and seeds the controller was tuned on": [o for o in found if not o.held_out],
        "The same traces, held-out seeds": [
            o for o in found if o.held_out and o.trace not in HELD_OUT
        ],
        "Held-out traces": [o for o in found if o.trace in HELD_OUT],
    }


def foresight_figures(found: Sequence[Foresight]) -> dict[str, float]:
    """Ratios by trace; those of held-out seeds and traces begin with ``held_out_``."""
    ratios: dict[str, float] = {}
    for o in found:
        prefix = "held_out_" if o.held_out else ""
        name = f"{o.trace}_{o.seed}" if o.trace in HELD_OUT else o.trace
        ratios[f"{prefix}billed_vs_optimal_{name}"] = o.slo / o.optimal
        ratios[f"{prefix}late_{name}"] = o.late
        if o.constant:
            ratios[f"{prefix}billed_vs_constant_{name}"] = o.slo / o.constant
        if o.online:
            ratios[f"{prefix}billed_vs_online_bound_{name}"] = o.slo / o.online
    return {name: round(value, 3) for name, value in ratios.items()}


def foresight_table(found: Sequence[Foresight]) -> str:
    """As Markdown, a trace a row."""
    lines = [
        "| trace | photos (late) | slo | offline plan | bound of all plans | clairvoyant "
        "| constant fleet | slo / cheapest | slo / constant | without foresight |",
        "|---" * 10 + "|",
    ]
    for o in found:
        constant = f"{o.constant:.0f} ({o.machines})" if o.constant else "-"
        versus = f"{o.slo / o.constant:.2f}" if o.constant else "-"
        online = f"{o.online:.0f}" if o.online else ""
        foreseen = f"{o.clairvoyant:.0f}" if o.clairvoyant else "-"
        lines.append(
            f"| {o.trace} | {o.photos} ({o.late}) | {o.slo:.0f} | {o.plan:.0f} | {o.bound:.0f} "
            f"| {foreseen} | {constant} | {o.slo / o.optimal:.2f} | {versus} | {online} |"
        )
    return "\n".join(lines)
