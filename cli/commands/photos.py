"""``facerec photos``: list and purge stored photos."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import click
from rich.console import Console
from rich.table import Table

from cli.friendly_errors import FriendlyGroup
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.photos import Photos, Selection
from facerec_tasks.wording import counted, listed

_UNITS = {"m": 60, "h": 3600, "d": 86400}


class Age(click.ParamType[datetime]):
    """``30m``, ``12h`` or ``7d``: a moment so long ago."""

    name = "age"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        found = re.fullmatch(r"(\d+)([mhd])", value)
        if not found:
            self.fail(f"{value!r} is no age such as 30m, 12h or 7d", param, ctx)
        return datetime.now(UTC) - timedelta(seconds=int(found[1]) * _UNITS[found[2]])


@click.group(cls=FriendlyGroup)
def photos() -> None:
    """List and purge stored photos, with their names and records."""


@photos.command("list")
@click.option("--prefix", default="", help="List only file names with this prefix.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_(prefix: str, as_json: bool) -> None:
    """List photos with the name found on each; of one file name, the newest version."""
    archive = Photos(get_settings())
    names = archive.names(PurePosixPath(prefix).stem)
    rows = [
        {
            "photo": photo.key,
            "name": names.get(PurePosixPath(photo.key).stem),
            "bytes": photo.size,
            "stored_at": photo.modified.isoformat(timespec="seconds"),
        }
        for photo in archive.photos(prefix)
    ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table("photo", "name", "bytes", "stored")
    for row in rows:
        table.add_row(*(str(row[k] or "-") for k in ("photo", "name", "bytes", "stored_at")))
    Console().print(table)


@photos.command()
@click.argument("names", nargs=-1)
@click.option(
    "--older-than", "before", type=Age(), help="Delete only photos older than this: 30m, 12h, 7d."
)
@click.option("--all", "everything", is_flag=True, help="Delete all photos.")
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge(
    names: tuple[str, ...],
    before: datetime | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete photos permanently: every version in both buckets, and their records.

    NAMES are file names such as test_00.jpg. A photo that is still in the queue is answered
    as gone.
    """
    if not (names or before or everything):
        raise click.UsageError("say which: NAMES, --older-than or --all")
    if not (yes or dry_run):
        click.confirm("Remove these photos for good?", abort=True)
    done = Photos(get_settings()).purge(Selection(frozenset(names), before), dry=dry_run)
    if as_json:
        counts = {"photos": done.photos, "names": done.names, "records": done.records}
        click.echo(json.dumps({**counts, "dry_run": dry_run}))
        return
    verb = "would remove" if dry_run else "removed"
    removed = [counted(done.photos, "photo"), counted(done.names, "name")]
    click.echo(f"{verb} {listed([*removed, counted(done.records, 'record')])}")


@photos.command()
@click.option(
    "--older-than",
    "before",
    type=Age(),
    default="1d",
    show_default=True,
    help="Only photos stored before that: 30m, 12h, 7d. Longer than any photo waits in the queue.",
)
@click.option("--remove", is_flag=True, help="Delete them permanently.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def orphans(before: datetime, remove: bool, yes: bool, as_json: bool) -> None:
    """Find stored photos that no result and no idempotency record knows.

    Their request ended between storing the photo and sending its task.
    """
    archive = Photos(get_settings())
    found = archive.orphans(before)
    if found and remove:
        if not yes:
            click.confirm(f"Remove {len(found)} photos for good?", abort=True)
        archive.remove(found)
    if as_json:
        click.echo(json.dumps([{"photo": v.key, "version": v.id, "bytes": v.size} for v in found]))
        return
    for version in found:
        click.echo(f"{version.key}\t{version.id}\t{version.modified:%Y-%m-%d %H:%M}")
    verb = "removed" if remove else "found"
    click.echo(f"{verb} {len(found)} photos without a record")
