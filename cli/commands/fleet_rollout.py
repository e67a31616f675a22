"""``facerec fleet rollout``: wait for the image in use to reach every machine, or roll back."""

import json
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass

import click

from ami_build.image.registry import Images
from autoscale.decisions import GONE, latest
from autoscale.fleet import NAME, Ec2Fleet
from autoscale.model import Machine
from cli.decision_archive import JSON
from facerec_tasks.aws import more_attempts
from facerec_tasks.errors import AwsError, FacerecError
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.wording import counted

LOOK = 3.0
"""Seconds between two looks at the fleet."""


class RolloutIncomplete(FacerecError):
    """Raised when machines still have an old image at the deadline; says which and why."""


@dataclass(frozen=True)
class RolloutProgress:
    """How far it has come."""

    version: str | None
    """In use; none for an image that was not baked."""
    old: tuple[str, ...]
    """Machines of another image, stopped ones included."""
    new: tuple[str, ...]


def progress(machines: Sequence[Machine], version: str | None) -> RolloutProgress:
    there = [m for m in machines if m.state not in GONE]
    return RolloutProgress(
        version,
        old=tuple(_name(m) for m in there if m.outdated),
        new=tuple(_name(m) for m in there if not m.outdated),
    )


def _name(machine: Machine) -> str:
    return f"{NAME}{machine.number}" if machine.number else machine.id


def watch(settings: Settings, version: str | None, deadline: float) -> RolloutProgress:
    """Waits until no machine has an older image; tells of every change on standard error.

    ``deadline`` is seconds from now. Raises :class:`RolloutIncomplete`.
    """
    fleet, end, reported = Ec2Fleet(settings), time.monotonic() + deadline, None
    while True:
        try:
            seen = progress(fleet.describe(), version)
        except AwsError:
            if time.monotonic() > end:
                raise
        else:
            if seen != reported:
                new, old = counted(len(seen.new), "machine"), counted(len(seen.old), "machine")
                click.echo(f"image in use: {new}, an older one: {old}", err=True)
                reported = seen
            if not seen.old:
                return seen
            if time.monotonic() > end:
                machines = ", ".join(seen.old)
                raise RolloutIncomplete(f"still on an older image: {machines}. {_why(settings)}")
        time.sleep(LOOK)


def _why(settings: Settings) -> str:
    decision = latest(StateBucket(settings, layout.CONTROLLER))
    said = decision.not_less if decision else ""
    return f"The controller: {said}" if said else "No decision of the controller was found."


@click.command()
@click.argument("version", default="")
@click.option(
    "--deadline", type=click.FloatRange(0), default=30, show_default=True, help="Minutes to wait."
)
@JSON
def rollout(version: str, deadline: float, as_json: bool) -> None:
    """Wait until every machine runs the image in use, or roll back to VERSION.

    The controller replaces machines of an older image by itself: one first, then as many at a time
    as are up. Each machine serves until its successor is up, then drains. With VERSION, that image
    is published first. While nothing runs, only stopped machines are replaced.
    """
    settings = get_settings()
    with more_attempts():
        images = Images(settings)
        if version and images.publish(version):
            click.echo(f"published {version}", err=True)
        done = watch(settings, images.in_use(), 60 * deadline)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        machines = counted(len(done.new), "machine")
        click.echo(f"{machines} with {done.version or 'the image in use'}, none with an older one")


roll = copy(rollout)
"""The command's former name."""
roll.name, roll.hidden = "roll", True
