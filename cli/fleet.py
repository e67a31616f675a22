"""``facerec fleet``: the workers' machines, and why they are as many as they are."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from autoscale import decisions
from autoscale.decisions import LATEST, Decision
from autoscale.explain import explain as in_words
from autoscale.fleet import NAME, Ec2Fleet
from autoscale.metrics import Metrics
from autoscale.model import Machine
from autoscale.report import Report
from autoscale.report import report as make_report
from autoscale.simulator import World
from autoscale.state import BucketState
from autoscale.traces import TRACES, recorded
from autoscale.whatif import POLICIES, Case, Summary, arrivals_of, simulate
from cli.failures import told_plainly
from facerec_tasks.settings import get_settings

REFRESH = 2.0
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of words.")
_DAY = click.option(
    "--day", default="", metavar="YYYY-MM-DD", help="The day (UTC); all days otherwise."
)


@click.group()
def fleet() -> None:
    """The EC2 workers and their controller."""


# status


@fleet.command()
@click.option("--watch", is_flag=True, help="Keep the table up to date until Ctrl-C.")
@_JSON
def status(watch: bool, as_json: bool) -> None:
    """Every machine, and what the controller decided last."""
    with told_plainly():
        if as_json:
            click.echo(json.dumps(_status()))
        elif watch:
            _watch()
        else:
            Console().print(_table(_status()))


def _watch() -> None:
    with Live(_table(_status()), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(REFRESH)
                live.update(_table(_status()), refresh=True)
        except KeyboardInterrupt:
            return


def _status() -> dict[str, Any]:
    settings = get_settings()
    machines = [m for m in Ec2Fleet(settings).describe() if m.state != "terminated"]
    latest = _latest()
    return {
        "machines": [_line(m) for m in sorted(machines, key=lambda m: (m.number or 0, m.id))],
        "cap": settings.max_instances,
        "profile": settings.scaling_profile,
        "decision": json.loads(latest.to_json()) if latest else None,
    }


def _latest() -> Decision | None:
    found = BucketState(get_settings()).find(LATEST)
    return Decision.from_json(found.data.decode()) if found else None


def _line(machine: Machine) -> dict[str, Any]:
    return {
        "name": f"{NAME}{machine.number}" if machine.number else None,
        "id": machine.id,
        "state": machine.state,
        "since": round(machine.since, 1),
    }


def _table(status: dict[str, Any]) -> Table:
    decision = status["decision"]
    table = Table(title=f"profile {status['profile']}, cap {status['cap']}", title_justify="left")
    for column in ("name", "id", "state", "since (UTC)"):
        table.add_column(column)
    for machine in status["machines"]:
        since = datetime.fromtimestamp(machine["since"], UTC)
        table.add_row(
            machine["name"] or "(no name yet)",
            machine["id"],
            machine["state"],
            f"{since:%Y-%m-%d %H:%M:%S}",
        )
    table.caption = (
        in_words(Decision.from_json(json.dumps(decision)))
        if decision
        else ("the controller has not written anything down yet")
    )
    return table


# explain


@fleet.command()
@click.option("--last", type=click.IntRange(1), default=5, show_default=True, help="How many.")
@click.option("--all", "every", is_flag=True, help="Also steps that changed nothing.")
@_DAY
@_JSON
def explain(last: int, every: bool, day: str, as_json: bool) -> None:
    """Why: the last decisions in plain words."""
    with told_plainly():
        kept = _decisions(day, newest=None if not every else last)
    chosen = [d for d in kept if every or d.start or d.launch or d.stop or d.replace or d.retire][
        -last:
    ]
    if as_json:
        click.echo(json.dumps([json.loads(d.to_json()) for d in chosen]))
        return
    if not chosen:
        click.echo("no decision has changed anything yet" if kept else "no decision was kept yet")
    for decision in chosen:
        click.echo(in_words(decision) + "\n")


def _decisions(day: str, newest: int | None = None) -> list[Decision]:
    state = BucketState(get_settings())
    if newest is not None and not day:
        return decisions.read_last(state, newest)
    return list(decisions.read(state, day))


# simulate


@fleet.command("simulate")
@click.option(
    "--trace",
    type=click.Choice([*TRACES]),
    default="burst",
    show_default=True,
    help="Synthetic traffic.",
)
@click.option("--recorded", is_flag=True, help="Instead, the traffic this system has seen.")
@click.option(
    "--log",
    "log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead, the traffic of a decision log (JSON lines).",
)
@click.option(
    "--policy",
    "policies",
    type=click.Choice(POLICIES),
    multiple=True,
    default=("slo", "clairvoyant"),
    show_default=True,
    help="May be given several times.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--cap", type=click.IntRange(0), default=15, show_default=True)
@click.option("--slo", type=click.FloatRange(1.0), default=60.0, show_default=True)
@click.option(
    "--service",
    type=click.FloatRange(0.001),
    default=0.5,
    show_default=True,
    help="Seconds of one process per photo.",
)
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--boot",
    type=(float, float),
    default=(20.0, 60.0),
    show_default=True,
    help="Fastest and slowest boot in seconds.",
)
@click.option("--failing-boots", type=click.FloatRange(0, 1), default=0.0, show_default=True)
@click.option("--terminate", is_flag=True, help="Machines are terminated, none is used again.")
@click.option("--counts-only", is_flag=True, help="The web tier's ledger cannot be read.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw queue and machines over time into this file (.png, .svg).",
)
@_DAY
@_JSON
def simulate_command(
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
    """What if: policies and settings on the same traffic."""
    world = _world(**options)
    with told_plainly():
        arrivals = _traffic(recorded, log, day)
    name = trace if arrivals is None else "recorded"
    cases = [Case(name, policy, world, seeds, arrivals) for policy in policies]
    summaries = [case.run() for case in cases]
    if as_json:
        click.echo(json.dumps([asdict(s) for s in summaries]))
    else:
        click.echo(_summaries(summaries))
    if plot:
        _plot(name, arrivals, policies, world, plot)


def _world(
    boot: tuple[float, float],
    terminate: bool,
    counts_only: bool,
    failing_boots: float,
    **options: Any,
) -> World:
    low, high = boot
    if not 0 < low <= high:
        raise click.BadParameter("the fastest boot comes first", param_hint="--boot")
    return World(
        boot=boot,
        boot_median=min(high, max(low, (low * high) ** 0.5)),
        pending=(min(5.0, low / 2), min(10.0, low)),
        keeps_stopped=not terminate,
        ledger=not counts_only,
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
            else (_decisions(day))
        )
    except ValueError as error:
        raise click.ClickException(f"{log}: {error}") from error
    arrivals = tuple(recorded(kept))
    if not arrivals:
        raise click.ClickException("nothing has arrived in what was recorded")
    return arrivals


def _summaries(summaries: Sequence[Summary]) -> str:
    first = summaries[0]
    lines = [
        f"{first.trace}: {first.tasks:.0f} photos, mean of {first.seeds} seeds; "
        f"no policy stays below {first.floor:.0f} billed s",
        f"{'policy':<20}{'p50 s':>7}{'p99 s':>7}{'late':>8}{'billed s':>9}{'x floor':>8}"
        f"{'launches':>9}{'peak':>5}{'redone':>7}",
    ]
    for s in summaries:
        ratio = f"{s.billed / s.floor:.2f}" if s.floor else "-"
        lines.append(
            f"{s.policy:<20}{s.p50:>7.1f}{s.p99:>7.1f}{s.late:>8.1f}{s.billed:>9.0f}{ratio:>8}"
            f"{s.launches:>9.1f}{s.peak:>5}{s.redelivered:>7.1f}"
        )
    return "\n".join(lines)


def _plot(
    name: str, arrivals: tuple[float, ...] | None, policies: Sequence[str], world: World, file: Path
) -> None:
    from autoscale.plots import timelines  # matplotlib: only who draws waits for it

    traffic = arrivals if arrivals is not None else arrivals_of(name, 0)
    runs = {policy: simulate(policy, traffic, world, 0) for policy in policies}
    timelines(runs, world.cap, file, name)
    click.echo(f"drawn: {file}", err=True)


# report and metrics


@fleet.command("report")
@click.option("--hourly", type=float, help="Price of a machine in dollars an hour.")
@_DAY
@_JSON
def report_command(hourly: float | None, day: str, as_json: bool) -> None:
    """What it has cost, and what of it was of use."""
    settings = get_settings()
    with told_plainly():
        kept = _decisions(day)
    found = make_report(kept, settings.instance_type, hourly)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"ratio": found.ratio}))
        return
    for name, value in _report_lines(found, settings.instance_type):
        click.echo(f"{name:<34} {value}")


def _report_lines(found: Report, instance_type: str) -> list[tuple[str, str]]:
    unknown = f"unknown price of {instance_type}; see --hourly"
    money = f"{found.dollars:.4f}" if found.dollars is not None else unknown
    each = f"{found.dollars_per_thousand:.4f}" if found.dollars_per_thousand is not None else "-"
    seconds = {f.name: getattr(found, f.name) for f in fields(found)}
    return [
        ("photos", str(found.photos)),
        ("launched, started, stopped", f"{found.launches}, {found.starts}, {found.stops}"),
        ("replaced", str(found.replaced)),
        ("most machines at once", str(found.peak)),
        ("billed instance-seconds", f"{found.billed:.0f}"),
        *(
            (f"  of these {label}", f"{seconds[name]:.0f}")
            for name, label in (
                ("booting", "booting"),
                ("working", "working"),
                ("idle", "idle"),
                ("minimum_waste", "minimum-minute waste"),
            )
        ),
        ("proven floor", f"{found.floor:.0f}"),
        ("billed / floor", f"{found.ratio:.2f}" if found.ratio else "-"),
        ("seconds of stopped machines", f"{found.stopped:.0f}"),
        ("dollars (machines and disks)", money),
        ("dollars per 1000 photos", each),
        ("hours watched, not watched", f"{found.watched / 3600:.2f}, {found.unwatched / 3600:.2f}"),
    ]


@fleet.command()
def metrics() -> None:
    """The last decision as Prometheus metrics, for a text-file collector."""
    with told_plainly():
        latest = _latest()
    found = Metrics()
    if latest is None:
        raise click.ClickException("the controller has not written anything down yet")
    found.observe(latest)
    click.echo(found.render(), nl=False)
