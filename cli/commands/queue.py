"""``facerec queue``: the request queue, its dead-letter queue and the response queues."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from celery_sqs import decode_message, errors, queues
from celery_sqs import redrive as redrive_messages
from cli.friendly_errors import FriendlyGroup
from facerec_tasks.aws import client, translated
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage.attempts import Attempts
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class WebTierIsUp(Exception):
    """Raised when a purge would delete requests that clients are waiting for."""


EXPECTED = (WebTierIsUp, errors.NoSuchQueue, errors.PurgeInProgress)


@click.group(cls=FriendlyGroup, expected=EXPECTED)
def queue() -> None:
    """Show, redrive and purge the request queue and its dead-letter queue."""


@queue.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Count waiting, running and dead-lettered messages, and list the response queues.

    SQS calls its counts approximate: right after a change they may be off.
    """
    with translated():
        settings = get_settings()
        found = _status(settings, client(settings, "sqs"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name in (settings.request_queue, settings.dead_letter_queue):
        held = found[name]
        click.echo(
            f"{name}: {held['visible']} waiting, {held['in_flight']} in work, "
            f"{held['delayed']} delayed"
        )
    for name, response in found["response_queues"].items():
        click.echo(f"{name}: {response['visible']} answers, {_seen(response)}")


def _seen(response: dict[str, Any]) -> str:
    if response["seconds_since_seen"] is None:
        return "nobody receives"
    return f"{response['owner']} seen {response['seconds_since_seen'] // 60} min ago"


def _status(settings: Settings, sqs: "SQSClient") -> dict[str, Any]:
    names = (settings.request_queue, settings.dead_letter_queue)
    found: dict[str, Any] = {name: asdict(queues.counts(sqs, name)) for name in names}
    found["response_queues"] = {
        url.rsplit("/", 1)[1]: _response_queue(sqs, url)
        for url in queues.queue_urls(sqs, settings.response_queue)
    }
    return found


def _response_queue(sqs: "SQSClient", url: str) -> dict[str, Any]:
    tags = queues.read_tags(sqs, url)
    seen = int(tags.get(queues.SEEN_TAG, "0"))
    return {
        "visible": queues.counts(sqs, url.rsplit("/", 1)[1]).visible,
        "owner": tags.get(queues.OWNER_TAG),
        "seconds_since_seen": int(time.time()) - seen if seen else None,
    }


@queue.command()
@click.option("--limit", type=click.IntRange(min=1), help="Move at most this many messages.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def redrive(limit: int | None, as_json: bool) -> None:
    """Move dead-lettered messages back to the request queue, oldest first.

    The result and the count of starts of a dead-lettered task are removed, so that it runs again.
    A task with another result keeps it.
    """
    with translated():
        settings = get_settings()
        sqs = client(settings, "sqs")
        state = StateBucket(settings)
        done = redrive_messages(
            sqs,
            queues.queue_url(sqs, settings.dead_letter_queue),
            queues.queue_url(sqs, settings.request_queue),
            limit=limit,
            prepare=lambda body: _reopen(settings, state, body),
        )
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        click.echo(f"{done.moved} moved, {done.refused} refused")


def _reopen(settings: Settings, state: StateBucket, body: str) -> None:
    """Lets a dead-lettered task run again: its record would otherwise be taken for the result."""
    try:
        task_id = decode_message(body, settings.request_queue).get("headers", {}).get("id")
    except errors.UnknownVersion:
        return  # a newer release's; its workers will say what they think of it
    if task_id and Results(state).reopen(task_id):
        Attempts(state).clear(task_id)


@queue.command()
@click.option("--dead-letters", is_flag=True, help="Purge the dead-letter queue instead.")
@click.option(
    "--force",
    is_flag=True,
    help="Purge although a web process was seen lately and cannot be reached.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def purge(dead_letters: bool, force: bool, yes: bool, as_json: bool) -> None:
    """Delete every message of the queue permanently.

    Refuses to purge requests while the web tier is up: people wait for their answers.
    """
    with translated():
        settings = get_settings()
        sqs = client(settings, "sqs")
        name = settings.dead_letter_queue if dead_letters else settings.request_queue
        url = queues.queue_url(sqs, name)
        if not dead_letters:
            _refuse_while_web_is_up(settings, sqs, force=force)
        held = queues.counts(sqs, name)
        if not yes:
            click.confirm(f"delete about {held.total} messages of {name}?", abort=True, err=True)
        queues.purge(sqs, url)
    if as_json:
        click.echo(json.dumps({"queue": name, "about": held.total}))
    else:
        click.echo(f"{name}: about {held.total} messages deleted")


def _refuse_while_web_is_up(settings: Settings, sqs: "SQSClient", *, force: bool) -> None:
    for url in settings.in_flight_urls:
        if _answers(url):
            raise WebTierIsUp(f"the web tier at {url} is up: stop it first")
    if force:
        return
    for name, response in _status(settings, sqs)["response_queues"].items():
        age = response["seconds_since_seen"]
        if age is not None and age < queues.ABANDONED_AFTER:
            raise WebTierIsUp(
                f"{response['owner']} may still receive from {name} (seen {age // 60} min ago): "
                "stop it first, or say --force if it is gone"
            )


def _answers(url: str) -> bool:
    """Whether an HTTP server answers there, whatever it says; a proxy's word does not count."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, OSError):
        return False
