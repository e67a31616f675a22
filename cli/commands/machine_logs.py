"""``facerec aws logs``: the log lines of the machines, out of CloudWatch."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from facerec_tasks.aws import client, translated
from facerec_tasks.settings import Settings, get_settings

POLL = 2.0
"""Seconds between two looks with ``--follow``; CloudWatch has a line after a second or two."""
TIERS = {"app": "app-tier", "web": "web-tier"}


def events(
    settings: Settings, tier: str, since: float, containing: str
) -> Iterator[dict[str, Any]]:
    """Events of a tier's log group since unix seconds ``since``, oldest first."""
    chosen: dict[str, Any] = {"filterPattern": f'"{containing}"'} if containing else {}
    pages = (
        client(settings, "logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=f"/{settings.id}/{TIERS[tier]}", startTime=int(since * 1000), **chosen
        )
    )
    with translated():
        yield from pages.search("events[]")


def line(event: dict[str, Any]) -> str:
    """Time, machine, unit and message."""
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    try:
        fields = json.loads(event["message"])
        text = f"{fields['unit'].removeprefix('facerec-')}: {fields['message']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        text = event["message"]  # written by somebody else
    return f"{at:%H:%M:%S} {event['logStreamName']} {text}"


@click.command()
@click.option(
    "--tier", type=click.Choice(list(TIERS)), default="web", show_default=True,
    help="web: web-instance; app: the workers.",
)  # fmt: skip
@click.option("--minutes", type=click.FloatRange(0), default=10, show_default=True,
              help="Minutes to look back.")  # fmt: skip
@click.option(
    "--containing", default="", metavar="TEXT", help="Show only lines that contain this text."
)
@click.option("--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
def logs(tier: str, minutes: float, containing: str, follow: bool) -> None:
    """Show the log lines of the machines, including those of terminated machines.

    A request's id (X-Request-ID) is in the lines of the web tier and of the worker.
    """
    since, seen = time.time() - 60 * minutes, set[str]()
    settings = get_settings()
    while True:
        for event in events(settings, tier, since, containing):
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                click.echo(line(event))
            since = max(since, event["timestamp"] / 1000)
        if not follow:
            return
        time.sleep(POLL)
