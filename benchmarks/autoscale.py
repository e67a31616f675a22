"""``python -m benchmarks.autoscale``: our policy, four others and a clairvoyant, same traffic.

Simulated time, so the figures are the same on any machine. ``--live`` also sends a burst of 100 to
the whole system on this machine, once in each profile. With ``--json`` the last line of standard
output is one JSON object whose ``figures`` are the contract's; progress goes to standard error.
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
from autoscale.simulation.plots import bars, timelines
from autoscale.simulation.simulator import Environment
from autoscale.simulation.traces import TRACES
from benchmarks.live_burst import live_bursts

JUDGED = ("ramp", "diurnal", "flash")
COLD = Environment(keeps_stopped=False)
WORLDS = {
    "cold": COLD,
    "stopped": Environment(boot=(25.0, 60.0)),
    "failing": replace(COLD, failing_boots=0.05),
    "counts": replace(COLD, ledger=False),
}
"""In all of them counts are stale. The figures are those of ``cold``."""
WORDS = {
    "cold": "New machines each time",
    "stopped": "Stopped machines, `stopping` for 30 to 90 s",
    "failing": "5 % of boots fail",
    "counts": "SQS's counts alone, no ledger",
}
DRAWN = ("slo", "keda-hpa", "one-per-message", "clairvoyant")


def figures(summaries: Sequence[TraceSummary]) -> dict[str, float]:
    """The contract's, of the world in which every machine is new."""
    found = {(s.trace, s.policy): s for s in summaries}
    ratios = {
        f"billed_vs_clairvoyant_{trace}": found[trace, "slo"].billed
        / found[trace, "clairvoyant"].billed
        for trace in JUDGED
    }
    late = sum(found[t, "slo"].late - found[t, "clairvoyant"].late for t in JUDGED)
    burst = found["burst", "slo"].launches - found["burst", "clairvoyant"].launches
    return {**ratios, "extra_launches_burst": burst, "extra_slo_misses": late}


def run(worlds: Sequence[str], seeds: int, processes: int) -> dict[str, list[TraceSummary]]:
    """Every policy on every trace, by world."""
    results = {}
    for name in worlds:
        began = time.monotonic()
        cases = [
            Case(trace, policy, WORLDS[name], seeds) for trace in TRACES for policy in POLICIES
        ]
        results[name] = compare(cases, processes)
        _say(f"{name}: {len(cases)} cases of {seeds} seeds in {time.monotonic() - began:.0f} s")
    return results


def table(summaries: Sequence[TraceSummary]) -> str:
    """Billed seconds (p99 seconds, late photos) as Markdown, a policy a row."""
    traces = list(dict.fromkeys(s.trace for s in summaries))
    policies = list(dict.fromkeys(s.policy for s in summaries))
    found = {(s.trace, s.policy): s for s in summaries}
    lines = [f"| policy | {' | '.join(traces)} |", "|---" * (len(traces) + 1) + "|"]
    for policy in policies:
        cells = [_cell(found[trace, policy]) for trace in traces]
        lines.append(f"| {policy} | {' | '.join(cells)} |")
    floors = [f"{found[trace, policies[0]].lower_bound:.0f}" for trace in traces]
    return "\n".join([*lines, f"| proven floor | {' | '.join(floors)} |"])


def _cell(summary: TraceSummary) -> str:
    late = f", {summary.late:.1f} late" if summary.late else ""
    return f"{summary.billed:.0f} ({summary.p99:.0f}{late})"


def draw(folder: Path, summaries: Sequence[TraceSummary]) -> None:
    """The burst, the flash crowd and the diurnal trace over time, and all ratios as bars."""
    folder.mkdir(parents=True, exist_ok=True)
    for trace in ("burst", "flash", "diurnal"):
        arrivals = arrivals_of(trace, 0)
        runs = {policy: simulate(policy, arrivals, COLD, 0) for policy in DRAWN}
        timelines(runs, COLD.cap, folder / f"autoscale-{trace}.png", trace)
    found = {(s.trace, s.policy): s.billed for s in summaries}
    ratios = {
        policy: [found[t, policy] / found[t, "clairvoyant"] for t in TRACES]
        for policy in POLICIES
        if policy not in ("clairvoyant", "one-per-backlog")
    }
    bars(ratios, list(TRACES), folder / "autoscale-billed.png")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints tables, and with ``--json`` one object in the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscale", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--worlds", nargs="+", choices=tuple(WORLDS), default=list(WORLDS))
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--plots", type=Path, help="a folder for the pictures")
    parser.add_argument("--live", action="store_true", help="also a burst on this machine")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    worlds = list(dict.fromkeys(["cold", *asked.worlds]))
    results = run(worlds, asked.seeds, asked.processes)
    for name, summaries in results.items():
        print(f"\n{WORDS[name]}: billed seconds (p99 s, photos late)\n\n{table(summaries)}")
    if asked.plots:
        draw(asked.plots, results["cold"])
    live: list[dict[str, Any]] = [asdict(b) for b in live_bursts(_say)] if asked.live else []
    for burst in live:
        print(f"\nlive: {burst}")
    if asked.json:
        summaries_by_world = {w: [asdict(s) for s in found] for w, found in results.items()}
        found = figures(results["cold"])
        print(json.dumps({"figures": found, "live": live, "summaries": summaries_by_world}))


if __name__ == "__main__":
    main()
