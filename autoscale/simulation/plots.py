"""Pictures of a run: the queue and the machines over time. Needs matplotlib (`local.txt`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from autoscale.simulation.simulator import RunResult

WIDTH, ROW = 9.0, 2.3
"""Inches."""
WAITING, ASKED, SERVING = "#8c8c8c", "#f2a65a", "#2f6f9f"


def timelines(runs: Mapping[str, RunResult], cap: int, file: Path, title: str) -> None:
    """One row a policy: waiting tasks (gray, left) and machines (steps, right) over time."""
    figure = Figure(figsize=(WIDTH, ROW * len(runs) + 0.8), layout="constrained")
    rows = figure.subplots(len(runs), 1, sharex=True, squeeze=False)
    end = max((_interesting(o) for o in runs.values()), default=1.0)
    highest = max((w for o in runs.values() for _, w, _, _ in o.timeline), default=0)
    for axes, (name, outcome) in zip(rows[:, 0], runs.items(), strict=True):
        _row(axes, name, outcome, cap)
        axes.set_xlim(0, end)
        axes.set_ylim(0, 1.05 * max(1, highest))
    rows[-1, 0].set_xlabel("seconds")
    figure.suptitle(title)
    figure.savefig(file, dpi=110)


def _interesting(outcome: RunResult) -> float:
    """Until a little after the last answer and the last stop."""
    return max(outcome.last_answer, min(outcome.all_stopped, outcome.last_answer + 400)) + 10


def _row(axes: Any, name: str, outcome: RunResult, cap: int) -> None:
    times = [t for t, *_ in outcome.timeline]
    axes.fill_between(times, [w for _, w, _, _ in outcome.timeline], color=WAITING, alpha=0.45)
    axes.set_ylabel("photos waiting")
    machines = axes.twinx()
    machines.step(
        times, [a for _, _, a, _ in outcome.timeline], ASKED, where="post", label="asked for"
    )
    machines.step(
        times, [s for _, _, _, s in outcome.timeline], SERVING, where="post", label="serving"
    )
    machines.set_ylim(0, cap + 1)
    machines.set_ylabel("machines")
    machines.yaxis.set_major_locator(MaxNLocator(integer=True))
    machines.legend(loc="upper right", fontsize="small", frameon=False)
    axes.set_title(
        f"{name}: {outcome.billed:.0f} s billed, p99 {outcome.p99:.0f} s, {outcome.late} late",
        fontsize="medium",
        loc="left",
    )


def bars(values: Mapping[str, Sequence[float]], traces: Sequence[str], file: Path) -> None:
    """Billed seconds over the optimum's, by policy and trace; logarithmic."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(values))
    for n, (policy, ratios) in enumerate(values.items()):
        places = [i + (n - (len(values) - 1) / 2) * width for i in range(len(traces))]
        axes.bar(places, ratios, width, label=policy)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    ticks = [1, 2, 5, 10, 20, 50, 100, 200]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.set_ylim(0.8, 250)
    axes.set_xticks(range(len(traces)), traces)
    axes.set_ylabel("billed seconds / optimal")
    figure.legend(fontsize="small", frameon=False, ncols=len(values), loc="outside upper center")
    figure.savefig(file, dpi=110)
