"""``facerec fleet``: the workers' machines, and why they are as many as they are."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from autoscale.decisions import LATEST, Decision
from autoscale.explain import explain as in_words
from autoscale.fleet import NAME, Ec2Fleet
from autoscale.metrics import ControllerMetrics
from autoscale.model import Machine
from cli.commands.fleet_report import report
from cli.commands.fleet_rollout import roll, rollout
from cli.commands.fleet_simulation import simulate
from cli.decision_archive import DAY, JSON, read_decisions
from cli.friendly_errors import friendly_errors
from facerec_tasks.settings import get_settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

REFRESH = 2.0


@click.group()
def fleet() -> None:
    """Show, explain and simulate the EC2 worker fleet."""


# status


@fleet.command()
@click.option("--watch", is_flag=True, help="Keep the table up to date until Ctrl-C.")
@JSON
def status(watch: bool, as_json: bool) -> None:
    """Show every machine and the controller's last decision."""
    with friendly_errors():
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
    limits = latest.limits if latest else {}  # the acting controller's, not this environment's
    return {
        "machines": [_line(m) for m in sorted(machines, key=lambda m: (m.number or 0, m.id))],
        "cap": limits.get("cap", settings.max_instances),
        "profile": limits.get("profile", settings.scaling_profile),
        "decision": json.loads(latest.to_json()) if latest else None,
    }


def _latest() -> Decision | None:
    found = StateBucket(get_settings(), layout.CONTROLLER).find(LATEST)
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
    with friendly_errors():
        kept = read_decisions(day, newest=last if every else None)
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


# metrics


@fleet.command()
def metrics() -> None:
    """Print the last decision as Prometheus metrics, for a text-file collector."""
    with friendly_errors():
        latest = _latest()
    found = ControllerMetrics()
    if latest is None:
        raise click.ClickException("the controller has not written anything down yet")
    found.observe(latest)
    click.echo(found.render(), nl=False)


fleet.add_command(simulate)
fleet.add_command(report)
fleet.add_command(rollout)
fleet.add_command(roll)
