"""``facerec keys``: API keys of the web tier."""

import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from cli.friendly_errors import FriendlyGroup
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.state_bucket import StateBucket
from webapp.services.keys import DEPRECATED_SCOPES, SCOPES, ApiKey, ApiKeys, make, make_aws


@click.group(cls=FriendlyGroup)
def keys() -> None:
    """Manage API keys, needed when the web tier is reachable from other machines."""


@keys.command()
@click.argument("label")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice((*SCOPES, *DEPRECATED_SCOPES)),
    multiple=True,
    default=("recognize",),
    show_default=True,
    help="Requests that the key allows; may be given several times.",
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="Limit the key to this collection; may be given several times.",
)
@click.option(
    "--aws", is_flag=True, help="Create an access key pair for Amazon Rekognition's clients."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(
    label: str, scopes: tuple[str, ...], collections: tuple[str, ...], aws: bool, as_json: bool
) -> None:
    """Create an API key called LABEL and print it; it cannot be shown again."""
    if aws:
        key, token = make_aws(label, scopes, time.time()), ""
    else:
        key, token = make(label, scopes, time.time())
    _keys().add(replace(key, collections=collections))
    if as_json:
        secret = {"secret": key.secret} if aws else {"token": token}
        click.echo(json.dumps({"id": key.id, "scopes": key.scopes, **secret}))
        return
    if aws:
        click.echo(f"AWS_ACCESS_KEY_ID={key.id}\nAWS_SECRET_ACCESS_KEY={key.secret}")
    else:
        click.echo(token)
    click.echo("Keep it: it cannot be shown again.", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the keys, without their secrets."""
    found = _keys().all()
    if as_json:
        rows = [{**asdict(key), "created_at": _day(key)} for key in found]
        for row in rows:
            del row["digest"], row["secret"]
        click.echo(json.dumps(rows))
        return
    table = Table("id", "label", "scopes", "made")
    for key in found:
        table.add_row(key.id, key.label, " ".join(key.scopes), _day(key))
    Console().print(table)


@keys.command()
@click.argument("id_", metavar="ID")
def remove(id_: str) -> None:
    """Revoke a key. Takes effect within 30 s."""
    if not _keys().remove(id_):
        raise click.ClickException(f"no key {id_}")
    click.echo(f"removed {id_}")


def _day(key: ApiKey) -> str:
    return datetime.fromtimestamp(key.created_at, UTC).isoformat(timespec="seconds")


def _keys() -> ApiKeys:
    return ApiKeys(StateBucket(get_settings()))
