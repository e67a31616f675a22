"""``facerec history``: past answers."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from cli.friendly_errors import friendly_errors
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.history import BEGINNING, DAY, History, HistoryEntry, HistoryQuery
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket

_AT_ONCE = 200


@click.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Only photos of this day (UTC).")
@click.option("--person", default="", help="Only photos of this person: a name or an id.")
@click.option("--file", "name", default="", help="Only file names that contain this.")
@click.option("--unknown", is_flag=True, help="Only photos with unknown faces.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Most answers to list."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def history(
    day: datetime | None, person: str, name: str, unknown: bool, limit: int, as_json: bool
) -> None:
    """List past answers, the newest first."""
    with friendly_errors():
        state = StateBucket(get_settings())
        gallery = People(state).gallery()
        since = day.replace(tzinfo=UTC).timestamp() if day else BEGINNING
        query = HistoryQuery(
            since=since,
            until=since + DAY if day else None,
            person=gallery.ids[gallery.index(person)] if person else "",
            name=name,
            unknown_only=unknown,
        )
        names = dict(zip(gallery.ids, gallery.names, strict=True))
        for entry in islice(_entries(History(state), query, limit), limit):
            found = _described(entry, names)
            click.echo(json.dumps(found, ensure_ascii=False) if as_json else _line(found))


def _entries(history: History, query: HistoryQuery, limit: int) -> Iterator[HistoryEntry]:
    cursor: str | None = None
    while True:
        page = history.page(query, min(limit, _AT_ONCE), cursor)
        yield from page.entries
        cursor = page.cursor
        if cursor is None:
            return


def _described(entry: HistoryEntry, names: dict[str, str]) -> dict[str, Any]:
    return {
        "task_id": entry.task_id,
        "at": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds"),
        "file": entry.key,
        "outcome": entry.outcome,
        "people": [names[person] for person in entry.people if person in names],
        "unknown": entry.unknown,
    }


def _line(found: dict[str, Any]) -> str:
    who = ", ".join(found["people"]) or found["outcome"]
    more = f" and {found['unknown']} unknown" if found["people"] and found["unknown"] else ""
    return f"{found['at']}  {found['file']}: {who}{more}"
