"""``celery -A APP sqs``: status, redrive, purge, cleanup and Flower."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from celery_sqs._aws import queues
from celery_sqs._aws.client import CallFailed, make_client
from celery_sqs._broker.transport import Transport
from celery_sqs._ops.cleanup import cleanup as remove_abandoned
from celery_sqs._ops.redrive import redrive as redrive_messages
from celery_sqs._ops.task_queues import names_of, task_queues, transport_of
from celery_sqs.errors import CelerySQSError, NoSuchQueue

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
one_queue = click.option("-Q", "--queue", help="Task queue (default: task_default_queue).")


@click.group()
@click.pass_context
@handle_preload_options
def sqs(ctx: click.Context) -> None:
    """Show, redrive, purge and clean up the SQS queues of this application; run Flower."""


@contextmanager
def _friendly_errors() -> Iterator[None]:
    try:
        yield
    except (CelerySQSError, *CallFailed) as error:
        raise click.ClickException(str(error)) from error


def _urls(app: Any, queue: str | None) -> tuple[Transport, str, str]:
    """The transport, and URLs of a task queue and of its dead-letter queue, which may be empty."""
    transport = transport_of(app)
    name = queue or app.conf.task_default_queue
    url = transport.directory.find(name)
    if url is None:
        raise NoSuchQueue(name)
    return transport, url, transport.directory.dead_letter_url(url) or ""


def _print(data: dict[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(data) if as_json else text)


@sqs.command(cls=CeleryCommand)
@as_json
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show approximate message counts of each queue.

    Lists task queues and their dead-letter queues. SQS calls its counts approximate.
    """
    with _friendly_errors():
        found = dict(task_queues(ctx.obj.app, names_of(ctx.obj.app)))
    lines = [
        f"{name}: {counts.visible} visible, {counts.in_flight} in flight, {counts.delayed} delayed"
        for name, counts in found.items()
    ]
    data = {name: asdict(counts) for name, counts in found.items()}
    _print(data, "\n".join(lines) or "no queue exists", as_json=as_json)


@sqs.command(cls=CeleryCommand)
@one_queue
@click.option("--limit", type=click.IntRange(min=1), help="Move at most this many.")
@as_json
@click.pass_context
def redrive(ctx: click.Context, queue: str | None, limit: int | None, as_json: bool) -> None:
    """Move dead-lettered messages back to their queue, oldest first."""
    with _friendly_errors():
        transport, url, dead_letters = _urls(ctx.obj.app, queue)
        if not dead_letters:
            raise click.ClickException("the queue has no dead-letter queue")
        report = redrive_messages(transport.session.sqs(url), dead_letters, url, limit=limit)
    _print(asdict(report), f"{report.moved} moved, {report.refused} refused", as_json=as_json)


@sqs.command(cls=CeleryCommand)
@one_queue
@click.option("--dead-letters", is_flag=True, help="Purge the dead-letter queue instead.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json
@click.pass_context
def purge(
    ctx: click.Context, queue: str | None, dead_letters: bool, yes: bool, as_json: bool
) -> None:
    """Delete every message of a queue permanently."""
    with _friendly_errors():
        transport, url, dead = _urls(ctx.obj.app, queue)
        if dead_letters and not dead:
            raise click.ClickException("the queue has no dead-letter queue")
        target = dead if dead_letters else url
        client = transport.session.sqs(url)
        about = queues.counts_of(client, target).total
        name = target.rsplit("/", 1)[1]
        if not yes:
            click.confirm(f"delete about {about} messages of {name}?", abort=True, err=True)
        queues.purge(client, target)
    _print(
        {"queue": name, "about": about}, f"about {about} messages of {name} deleted",
        as_json=as_json,
    )  # fmt: skip


@sqs.command(cls=CeleryCommand)
@click.option("--prefix", help="Prefix of queue names (default: the namespace).")
@as_json
@click.pass_context
def cleanup(ctx: click.Context, prefix: str | None, as_json: bool) -> None:
    """Delete queues and subscriptions of processes that no longer run."""
    with _friendly_errors():
        options = transport_of(ctx.obj.app).options
        account = options.account
        report = remove_abandoned(
            make_client("sqs", account),
            make_client("sns", account),
            prefix or f"{options.namespace}-",
        )
    text = f"{len(report.queues)} queues and {report.subscriptions} subscriptions removed"
    _print(asdict(report), text, as_json=as_json)


@sqs.command(
    cls=CeleryCommand,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def flower(ctx: click.Context) -> None:
    """Run Flower with the message counts of SQS; takes Flower's options."""
    try:
        from celery_sqs._ops.flower import run
    except ImportError as error:
        raise click.ClickException("install celery-sqs[flower]") from error
    sys.exit(run(ctx.obj.app, ctx.args))
