"""``python -m benchmarks.autoscale``: the controller against other policies and the optimum.

Simulated time, so the figures are the same on any machine. ``--live`` also sends a burst of 100 to
the whole system on this machine, once in each profile. With ``--json`` the last line of standard
output is one JSON object whose ``figures`` are the contract's; progress goes to standard error.

"Optimal" is an offline plan (:mod:`benchmarks.offline_plan`), solved before and executed here, or
the clairvoyant or a constant fleet where they are cheaper. ``--solve 45`` solves every plan and
bound again and keeps what is better, which takes the better part of an hour.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from autoscale.simulation.comparison import (
    POLICIES,
    Case,
    TraceSummary,
    arrivals_of,
    compare,
    simulate,
)
from autoscale.simulation.environment import Environment
from autoscale.simulation.held_out_traces import HELD_OUT, HELD_OUT_SEED
from autoscale.simulation.plots import bars, timelines
from autoscale.simulation.traces import TRACES
from benchmarks.foresight import (
    Foresight,
    foresight_figures,
    foresight_table,
    parts,
    run_foresight,
)
from benchmarks.live_burst import live_bursts

JUDGED = ("ramp", "diurnal", "flash")
CLASSIC = ("burst", "two-bursts", *JUDGED, "heavy-tail")
"""On which all policies are compared, unless others are named."""
COLD = Environment(keeps_stopped=False)
ENVIRONMENTS = {
    "cold": COLD,
    "stopped": Environment(boot=(25.0, 60.0)),
    "failing": replace(COLD, failing_boots=0.05),
    "counts": replace(COLD, requests_known=False),
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


def figures(summaries: Sequence[TraceSummary]) -> dict[str, float]:
    """The contract's, of the environment in which every machine is new."""
    by_case = {(s.trace, s.policy): s for s in summaries}
    judged = [t for t in JUDGED if (t, "slo") in by_case]
    ratios = {
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


def _cell(summary: TraceSummary) -> str:
    late = f", {summary.late:.1f} late" if summary.late else ""
    return f"{summary.billed:.0f} ({summary.p99:.0f}{late})"


def draw(folder: Path, found: Sequence[Foresight], summaries: Sequence[TraceSummary]) -> None:
    """The burst, the flash crowd and the diurnal trace over time, and all ratios as bars."""
    folder.mkdir(parents=True, exist_ok=True)
    for trace in ("burst", "flash", "diurnal"):
        arrivals = arrivals_of(trace, 0)
        runs = {policy: simulate(policy, arrivals, COLD, 0) for policy in DRAWN}
        timelines(runs, COLD.cap, folder / f"autoscale-{trace}.png", trace)
    billed = {(s.trace, s.policy): s.billed for s in summaries}
    drawn = [o for o in found if (o.trace, "slo") in billed and o.seed == 0]
    ratios = {
        policy: [billed[o.trace, policy] / o.optimal for o in drawn]
        for policy in ("slo", "keda-tuned", "aws-target-tracking", "buildkite")
    }
    bars(ratios, [o.trace for o in drawn], folder / "autoscale-billed.png")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints tables, and with ``--json`` one object in the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscale", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="of the comparison of policies")
    every = (*TRACES, *HELD_OUT)
    parser.add_argument("--traces", nargs="+", choices=every, default=list(every))
    parser.add_argument("--policy-traces", nargs="*", choices=every, default=list(CLASSIC))
    parser.add_argument(
        "--environments", nargs="+", choices=tuple(ENVIRONMENTS), default=list(ENVIRONMENTS)
    )
    parser.add_argument("--solve", type=float, metavar="SECONDS", help="solve all plans anew")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--plots", type=Path, help="a folder for the pictures")
    parser.add_argument("--live", action="store_true", help="also a burst on this machine")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    environments = list(dict.fromkeys(["cold", *asked.environments]))
    cases = [(trace, seed) for trace in asked.traces for seed in (0, HELD_OUT_SEED)]
    began = time.monotonic()
    found = run_foresight(cases, COLD, asked.solve, asked.processes)
    _say(f"foresight: {len(cases)} cases in {time.monotonic() - began:.0f} s")
    for title, part in parts(found).items():
        print(f"\n{title}: billed seconds\n\n{foresight_table(part)}")
    results = run(asked.policy_traces, environments, asked.seeds, asked.processes)
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
            "figures": foresight_figures(found) | figures(results["cold"]),
            "foresight": [asdict(o) for o in found],
            "live": live,
            "summaries": by_environment,
        }
        print(json.dumps(everything))


if __name__ == "__main__":
    main()
