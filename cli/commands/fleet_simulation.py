"""``facerec fleet simulate``: scaling policies compared on the same traffic."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from autoscale.decisions import Decision
from autoscale.simulation.comparison import POLICIES, Case, TraceSummary, arrivals_of
from autoscale.simulation.comparison import simulate as run
from autoscale.simulation.environment import Environment
from autoscale.simulation.traces import TRACES
from autoscale.simulation.traces import recorded as arrivals_in
from cli.decision_archive import DAY, JSON, read_decisions

FORMER_NAMES = {"course": "one-per-backlog"}


@click.command()
@click.option(
    "--trace",
    type=click.Choice([*TRACES]),
    default="burst",
    show_default=True,
    help="Synthetic traffic to simulate.",
)
@click.option("--recorded", is_flag=True, help="Simulate the traffic this system has seen instead.")
@click.option(
    "--log",
    "log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Simulate the traffic of a decision log (JSON lines) instead.",
)
@click.option(
    "--policy",
    "policies",
    type=click.Choice((*POLICIES, *FORMER_NAMES)),
    multiple=True,
    default=("slo", "clairvoyant"),
    show_default=True,
    help="Policy to simulate; may be given several times.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True,
              help="Runs of each policy, each with other random numbers.")  # fmt: skip
@click.option("--cap", type=click.IntRange(0), default=15, show_default=True,
              help="Most machines at a time.")  # fmt: skip
@click.option("--slo", type=click.FloatRange(1.0), default=60.0, show_default=True,
              help="Seconds within which a photo is to be answered.")  # fmt: skip
@click.option(
    "--service",
    type=click.FloatRange(0.001),
    default=0.5,
    show_default=True,
    help="Seconds one process works on a photo.",
)
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True,
              help="Worker processes of a machine.")  # fmt: skip
@click.option(
    "--boot",
    type=(float, float),
    default=(20.0, 60.0),
    show_default=True,
    help="Fastest and slowest boot in seconds.",
)
@click.option("--failing-boots", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="Share of machines that never come up.")  # fmt: skip
@click.option(
    "--terminate", is_flag=True, help="Terminate machines instead of stopping them for later use."
)
@click.option(
    "--counts-only",
    is_flag=True,
    help="Simulate that the web tier's in-flight report cannot be read.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw queue and machines over time into this file (.png, .svg).",
)
@DAY
@JSON
def simulate(
    trace: str,
    recorded: bool,
    log: Path | None,
    policies: tuple[str, ...],
    seeds: int,
    day: str,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare scaling policies and settings on the same traffic, in simulated time."""
    environment = _environment(**options)
    policies = tuple(FORMER_NAMES.get(policy, policy) for policy in policies)
    arrivals = _traffic(recorded, log, day)
    name = trace if arrivals is None else "recorded"
    cases = [Case(name, policy, environment, seeds, arrivals) for policy in policies]
    summaries = [case.run() for case in cases]
    if as_json:
        click.echo(json.dumps([asdict(s) for s in summaries]))
    else:
        click.echo(_summaries(summaries))
    if plot:
        _plot(name, arrivals, policies, environment, plot)


def _environment(
    boot: tuple[float, float],
    terminate: bool,
    counts_only: bool,
    failing_boots: float,
    **options: Any,
) -> Environment:
    low, high = boot
    if not 0 < low <= high:
        raise click.BadParameter("the fastest boot comes first", param_hint="--boot")
    return Environment(
        boot=boot,
        boot_median=min(high, max(low, (low * high) ** 0.5)),
        pending=(min(5.0, low / 2), min(10.0, low)),
        keeps_stopped=not terminate,
        requests_known=not counts_only,
        failing_boots=failing_boots,
        **options,
    )


def _traffic(seen: bool, log: Path | None, day: str) -> tuple[float, ...] | None:
    """Recorded arrivals, or none when they are to be synthetic."""
    if not seen and log is None:
        return None
    try:
        kept = (
            [Decision.from_json(line) for line in log.read_text().splitlines()]
            if log
            else (read_decisions(day))
        )
    except ValueError as error:
        raise click.ClickException(f"{log}: {error}") from error
    arrivals = tuple(arrivals_in(kept))
    if not arrivals:
        raise click.ClickException("nothing has arrived in what was recorded")
    return arrivals


def _summaries(summaries: Sequence[TraceSummary]) -> str:
    first = summaries[0]
    lines = [
        f"{first.trace}: {first.tasks:.0f} photos, mean of {first.seeds} seeds; "
        f"no policy stays below {first.lower_bound:.0f} billed s",
        f"{'policy':<20}{'p50 s':>7}{'p99 s':>7}{'late':>8}{'billed s':>9}{'x bound':>8}"
        f"{'launches':>9}{'peak':>5}{'redone':>7}",
    ]
    for s in summaries:
        ratio = f"{s.billed / s.lower_bound:.2f}" if s.lower_bound else "-"
        lines.append(
            f"{s.policy:<20}{s.p50:>7.1f}{s.p99:>7.1f}{s.late:>8.1f}{s.billed:>9.0f}{ratio:>8}"
            f"{s.launches:>9.1f}{s.peak:>5}{s.redelivered:>7.1f}"
        )
    return "\n".join(lines)


def _plot(
    name: str,
    arrivals: tuple[float, ...] | None,
    policies: Sequence[str],
    environment: Environment,
    file: Path,
) -> None:
    from autoscale.simulation.plots import timelines  # matplotlib: only who draws waits for it

    traffic = arrivals if arrivals is not None else arrivals_of(name, 0)
    runs = {policy: run(policy, traffic, environment, 0) for policy in policies}
    timelines(runs, environment.cap, file, name)
    click.echo(f"drawn: {file}", err=True)
