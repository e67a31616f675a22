"""``python -m benchmarks.autoscale``: the controller against other policies and the optimum.

Simulated time, so the figures are the same on any machine, but for the optimum's: its solver has a
time limit. ``--live`` also sends a burst of 100 to the whole system on this machine, once in each
profile. With ``--json`` the last line of standard output is one JSON object whose ``figures`` are
the contract's; progress goes to standard error.

"Optimal" is the cheapest plan known that answers every photo in time, knowing all arrivals and boot
times: the better one of the mixed-integer program's (:mod:`benchmarks.offline_plan`), the
clairvoyant's, and the smallest constant fleet's that is up beforehand.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from autoscale.simulation.baselines import ConstantFleet
from autoscale.simulation.comparison import (
    POLICIES,
    Case,
    TraceSummary,
    arrivals_of,
    compare,
    simulate,
)
from autoscale.simulation.plots import bars, timelines
from autoscale.simulation.simulator import Environment, RunResult, Simulation
from autoscale.simulation.traces import TRACES
from benchmarks.live_burst import live_bursts
from benchmarks.offline_plan import optimum

JUDGED = ("ramp", "diurnal", "flash")
COLD = Environment(keeps_stopped=False)
ENVIRONMENTS = {
    "cold": COLD,
    "stopped": Environment(boot=(25.0, 60.0)),
    "failing": replace(COLD, failing_boots=0.05),
    "counts": replace(COLD, ledger=False),
}
"""In all of them counts are stale. The figures are those of ``cold``."""
TITLES = {
    "cold": "New machines each time",
    "stopped": "Stopped machines, `stopping` for 30 to 90 s",
    "failing": "5 % of boots fail",
    "counts": "SQS's counts alone, requests in flight unreadable",
}
DRAWN = ("slo", "keda-tuned", "one-per-message", "clairvoyant")
OWN = ("slo", "one-per-backlog")


@dataclass(frozen=True)
class Opponents:
    """What needs foresight, on one trace, with every photo in time. Billed seconds."""

    trace: str
    seeds: int
    slo: float
    """Ours, on the same seeds."""
    slo_late: float
    offline: float | None
    """The mixed-integer program's plan, executed; None when it found none in its time."""
    bound: float
    """What no plan on the program's grid can stay below."""
    clairvoyant: float | None
    constant: float | None
    constant_machines: int

    @property
    def best(self) -> float:
        plans = (self.offline, self.clairvoyant, self.constant)
        return min(p for p in plans if p is not None)


def opponents(trace: str, seeds: int, seconds: float) -> Opponents:
    """The optimum and the best constant fleet; means over the seeds."""
    runs = [_opponents(trace, seed, seconds) for seed in range(seeds)]

    def mean(values: Sequence[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        return fmean(known) if len(known) == len(values) else None

    return Opponents(
        trace,
        seeds,
        slo=fmean(r[0].billed for r in runs),
        slo_late=fmean(r[0].late for r in runs),
        offline=mean([r[1] for r in runs]),
        bound=fmean(r[2] for r in runs),
        clairvoyant=mean([r[3] for r in runs]),
        constant=mean([r[4] for r in runs]),
        constant_machines=max(r[5] for r in runs),
    )


def _opponents(
    trace: str, seed: int, seconds: float
) -> tuple[RunResult, float | None, float, float | None, float | None, int]:
    arrivals = arrivals_of(trace, seed)
    ours = simulate("slo", arrivals, COLD, seed)
    clairvoyant = simulate("clairvoyant", arrivals, COLD, seed)
    machines, constant = _constant(arrivals, seed)
    try:
        found = optimum(arrivals, COLD, seed, seconds)
        offline, bound = found.result.billed, found.bound
    except RuntimeError as error:
        _say(f"{trace}: {error}")
        offline, bound = None, 0.0
    foreseen = clairvoyant.billed if not clairvoyant.late else None
    return ours, offline, bound, foreseen, constant, machines


def _constant(arrivals: Sequence[float], seed: int) -> tuple[int, float | None]:
    """The smallest fleet that answers every photo in time, and what it bills."""
    work = len(arrivals) * COLD.service / COLD.processes
    least = max(1, int(work / (arrivals[-1] + COLD.slo)))
    for n in range(least, COLD.cap + 1):
        result = Simulation(arrivals, ConstantFleet(n), COLD, seed).run()
        if not result.late:
            return n, result.billed
    return COLD.cap, None


def figures(summaries: Sequence[TraceSummary], found: Sequence[Opponents]) -> dict[str, float]:
    """The contract's, of the environment in which every machine is new."""
    by_case = {(s.trace, s.policy): s for s in summaries}
    ratios = {f"billed_vs_optimal_{o.trace}": o.slo / o.best for o in found}
    ratios |= {f"billed_vs_constant_{o.trace}": o.slo / o.constant for o in found if o.constant}
    judged = [t for t in JUDGED if (t, "slo") in by_case]
    ratios |= {
        f"billed_vs_clairvoyant_{t}": by_case[t, "slo"].billed / by_case[t, "clairvoyant"].billed
        for t in judged
    }
    late = sum(by_case[t, "slo"].late - by_case[t, "clairvoyant"].late for t in judged)
    ratios["extra_slo_misses"] = late
    if ("burst", "slo") in by_case:
        extra = by_case["burst", "slo"].launches - by_case["burst", "clairvoyant"].launches
        ratios["extra_launches_burst"] = extra
    return ratios


def run(
    traces: Sequence[str], environments: Sequence[str], seeds: int, processes: int
) -> dict[str, list[TraceSummary]]:
    """Every policy on every trace; in other environments than the first our own alone."""
    results = {}
    for name in environments:
        began = time.monotonic()
        policies = POLICIES if name == "cold" else OWN
        cases = [
            Case(trace, policy, ENVIRONMENTS[name], seeds)
            for trace in traces
            for policy in policies
        ]
        results[name] = compare(cases, processes)
        _say(f"{name}: {len(cases)} cases of {seeds} seeds in {time.monotonic() - began:.0f} s")
    return results


def run_opponents(
    traces: Sequence[str], seeds: int, seconds: float, processes: int
) -> list[Opponents]:
    """The optimum of every trace."""
    one = partial(opponents, seeds=seeds, seconds=seconds)
    with ProcessPoolExecutor(processes) as pool:
        found = []
        for each in pool.map(one, traces):
            _say(f"optimum: {each}")
            found.append(each)
        return found


def table(summaries: Sequence[TraceSummary]) -> str:
    """Billed seconds (p99 seconds, late photos) as Markdown, a trace a row."""
    traces = list(dict.fromkeys(s.trace for s in summaries))
    policies = list(dict.fromkeys(s.policy for s in summaries))
    found = {(s.trace, s.policy): s for s in summaries}
    lines = [f"| trace | {' | '.join(policies)} |", "|---" * (len(policies) + 1) + "|"]
    for trace in traces:
        cells = [_cell(found[trace, policy]) for policy in policies]
        lines.append(f"| {trace} | {' | '.join(cells)} |")
    return "\n".join(lines)


def optimum_table(found: Sequence[Opponents]) -> str:
    """Ours beside what foresight could do, as Markdown."""
    lines = [
        "| trace | slo (late) | offline plan | its bound | clairvoyant | constant fleet "
        "| slo / optimal | slo / constant |",
        "|---" * 8 + "|",
    ]
    for o in found:
        constant = f"{o.constant:.0f} ({o.constant_machines})" if o.constant else "-"
        versus = f"{o.slo / o.constant:.2f}" if o.constant else "-"
        lines.append(
            f"| {o.trace} | {o.slo:.0f} ({o.slo_late:g}) | {_seconds(o.offline)} | {o.bound:.0f} "
            f"| {_seconds(o.clairvoyant)} | {constant} | {o.slo / o.best:.2f} | {versus} |"
        )
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _cell(summary: TraceSummary) -> str:
    late = f", {summary.late:.1f} late" if summary.late else ""
    return f"{summary.billed:.0f} ({summary.p99:.0f}{late})"


def draw(folder: Path, found: Sequence[Opponents], summaries: Sequence[TraceSummary]) -> None:
    """The burst, the flash crowd and the diurnal trace over time, and all ratios as bars."""
    folder.mkdir(parents=True, exist_ok=True)
    for trace in ("burst", "flash", "diurnal"):
        arrivals = arrivals_of(trace, 0)
        runs = {policy: simulate(policy, arrivals, COLD, 0) for policy in DRAWN}
        timelines(runs, COLD.cap, folder / f"autoscale-{trace}.png", trace)
    billed = {(s.trace, s.policy): s.billed for s in summaries}
    ratios = {
        policy: [billed[o.trace, policy] / o.best for o in found]
        for policy in ("slo", "keda-tuned", "aws-target-tracking", "buildkite")
    }
    bars(ratios, [o.trace for o in found], folder / "autoscale-billed.png")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints tables, and with ``--json`` one object in the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscale", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--optimum-seeds", type=int, default=1)
    parser.add_argument("--optimum-seconds", type=float, default=60.0, help="of each solve")
    parser.add_argument("--traces", nargs="+", choices=tuple(TRACES), default=list(TRACES))
    parser.add_argument(
        "--environments", nargs="+", choices=tuple(ENVIRONMENTS), default=list(ENVIRONMENTS)
    )
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--plots", type=Path, help="a folder for the pictures")
    parser.add_argument("--live", action="store_true", help="also a burst on this machine")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    environments = list(dict.fromkeys(["cold", *asked.environments]))
    found = run_opponents(asked.traces, asked.optimum_seeds, asked.optimum_seconds, asked.processes)
    print(f"\nAgainst foresight: billed seconds, {found[0].seeds} seeds\n\n{optimum_table(found)}")
    results = run(asked.traces, environments, asked.seeds, asked.processes)
    for name, summaries in results.items():
        print(f"\n{TITLES[name]}: billed seconds (p99 s, photos late)\n\n{table(summaries)}")
    if asked.plots:
        draw(asked.plots, found, results["cold"])
    live: list[dict[str, Any]] = [asdict(b) for b in live_bursts(_say)] if asked.live else []
    for burst in live:
        print(f"\nlive: {burst}")
    if asked.json:
        by_environment = {w: [asdict(s) for s in each] for w, each in results.items()}
        everything = {
            "figures": figures(results["cold"], found),
            "optimum": [asdict(o) for o in found],
            "live": live,
            "summaries": by_environment,
        }
        print(json.dumps(everything))


if __name__ == "__main__":
    main()
