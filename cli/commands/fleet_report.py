"""``facerec fleet report``: machine time and cost."""

import json
from dataclasses import asdict

import click

from autoscale.report import CostReport
from autoscale.report import report as make_report
from cli.decision_archive import DAY, JSON, read_decisions
from facerec_tasks.settings import get_settings


@click.command()
@click.option("--hourly", type=float, help="Price of a machine in dollars an hour.")
@DAY
@JSON
def report(hourly: float | None, day: str, as_json: bool) -> None:
    """Show billed machine time and its cost, split by use."""
    settings = get_settings()
    kept = read_decisions(day)
    found = make_report(kept, settings.instance_type, hourly)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"ratio": found.ratio}))
        return
    for name, value in _report_lines(found, settings.instance_type):
        click.echo(f"{name:<34} {value}")


def _report_lines(found: CostReport, instance_type: str) -> list[tuple[str, str]]:
    unknown = f"unknown price of {instance_type}; see --hourly"
    money = f"{found.dollars:.4f}" if found.dollars is not None else unknown
    each = f"{found.dollars_per_thousand:.4f}" if found.dollars_per_thousand is not None else "-"
    return [
        ("photos", str(found.photos)),
        ("launched, started, stopped", f"{found.launches}, {found.starts}, {found.stops}"),
        ("replaced", str(found.replaced)),
        ("most machines at once", str(found.peak)),
        ("billed instance-seconds", f"{found.billed:.0f}"),
        ("  of these booting", f"{found.booting:.0f}"),
        ("  of these working", f"{found.working:.0f}"),
        ("  of these idle", f"{found.idle:.0f}"),
        ("  of these minimum-minute waste", f"{found.minimum_waste:.0f}"),
        ("proven lower bound", f"{found.lower_bound:.0f}"),
        ("billed / lower bound", f"{found.ratio:.2f}" if found.ratio else "-"),
        ("seconds of stopped machines", f"{found.stopped:.0f}"),
        ("dollars (machines and disks)", money),
        ("dollars per 1000 photos", each),
        ("hours watched, not watched", f"{found.watched / 3600:.2f}, {found.unwatched / 3600:.2f}"),
    ]
