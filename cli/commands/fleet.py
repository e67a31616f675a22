"""``facerec fleet``: status, explanations and metrics of the worker fleet."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from autoscale.decisions import Decision, latest
from autoscale.explain import explain as in_words
from autoscale.fleet import NAME, Ec2Fleet
from autoscale.metrics import ControllerMetrics
from autoscale.model import Machine
from cli.commands.fleet_report import report
from cli.commands.fleet_rollout import roll, rollout
from cli.commands.fleet_simulation import simulate
from cli.decision_archive import DAY, JSON, read_decisions
from cli.friendly_errors import FriendlyGroup
from facerec_tasks.settings import get_settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

REFRESH = 2.0
NOTHING_YET = "the controller has not written anything down yet"


@click.group(cls=FriendlyGroup)
def fleet() -> None:
    """Show, explain and simulate the EC2 worker fleet."""


# status


@fleet.command()
@click.option("--watch", is_flag=True, help="Keep the table up to date until Ctrl-C.")
@JSON
def status(watch: bool, as_json: bool) -> None:
    """Show every machine and the controller's last decision."""
    if as_json:
        status, decision = _status()
        decided = json.loads(decision.to_json()) if decision else None
        click.echo(json.dumps({**status, "decision": decided}))
    elif watch:
        _watch()
    else:
        Console().print(_table(*_status()))


def _watch() -> None:
    with Live(_table(*_status()), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(REFRESH)
                live.update(_table(*_status()), refresh=True)
        except KeyboardInterrupt:
            return


def _status() -> tuple[dict[str, Any], Decision | None]:
    """(machines, cap and profile; the last decision)"""
    settings = get_settings()
    machines = [m for m in Ec2Fleet(settings).describe() if m.state != "terminated"]
    decision = _latest()
    limits = decision.limits if decision else {}  # the acting controller's, not this environment's
    status = {
        "machines": [_line(m) for m in sorted(machines, key=lambda m: (m.number or 0, m.id))],
        "cap": limits.get("cap", settings.max_instances),
        "profile": limits.get("profile", settings.scaling_profile),
    }
    return status, decision


def _latest() -> Decision | None:
    return latest(StateBucket(get_settings(), layout.CONTROLLER))


def _line(machine: Machine) -> dict[str, Any]:
    return {
        "name": f"{NAME}{machine.number}" if machine.number else None,
        "id": machine.id,
        "state": machine.state,
        "since": round(machine.since, 1),
    }


def _table(status: dict[str, Any], decision: Decision | None) -> Table:
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
    table.caption = in_words(decision) if decision else NOTHING_YET
    return table


# explain


@fleet.command()
@click.option(
    "--last",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of decisions to show.",
)
@click.option("--all", "every", is_flag=True, help="Show decisions that changed nothing, too.")
@DAY
@JSON
def explain(last: int, every: bool, day: str, as_json: bool) -> None:
    """Explain the last decisions: what was read, what was decided, and why."""
    kept = read_decisions(day, newest=last if every else None)
    chosen = [d for d in kept if every or d.changes][-last:]
    if as_json:
        click.echo(json.dumps([json.loads(d.to_json()) for d in chosen]))
        return
    if not chosen:
        click.echo("no decision has changed anything yet" if kept else "no decision was kept yet")
    for decision in chosen:
        click.echo(in_words(decision) + "\n")


# metrics


@fleet.command()
def metrics() -> None:
    """Print the last decision as Prometheus metrics, for a text-file collector."""
    decision = _latest()
    if decision is None:
        raise click.ClickException(NOTHING_YET)
    found = ControllerMetrics()
    found.observe(decision)
    click.echo(found.render(), nl=False)


fleet.add_command(simulate)
fleet.add_command(report)
fleet.add_command(rollout)
fleet.add_command(roll)
