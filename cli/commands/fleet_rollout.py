"""``facerec fleet rollout``: wait for the image in use to reach every machine, or roll back."""

import json
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, dataclass

import click

from ami_build.image.registry import Images
from autoscale.decisions import GONE, LATEST, Decision
from autoscale.fleet import NAME, Ec2Fleet, Fleet
from autoscale.model import Machine
from cli.decision_archive import JSON
from cli.friendly_errors import friendly_errors
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


def watch(
    fleet: Fleet,
    version: str | None,
    deadline: float,
    report: Callable[[RolloutProgress], None],
    why: Callable[[], str],
) -> RolloutProgress:
    """Waits until no machine has an older image; calls ``report`` at every change.

    ``deadline`` is seconds from now. Raises :class:`RolloutIncomplete`.
    """
    end, reported = time.monotonic() + deadline, None
    while True:
        try:
            seen = progress(fleet.describe(), version)
        except AwsError:
            if time.monotonic() > end:
                raise
        else:
            if seen != reported:
                report(seen)
                reported = seen
            if not seen.old:
                return seen
            if time.monotonic() > end:
                raise RolloutIncomplete(f"still on an older image: {', '.join(seen.old)}. {why()}")
        time.sleep(LOOK)


def _why(settings: Settings) -> str:
    found = StateBucket(settings, layout.CONTROLLER).find(LATEST)
    said = Decision.from_json(found.data.decode()).not_less if found else ""
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
    with more_attempts(), friendly_errors():
        images = Images(settings)
        if version and images.publish(version):
            click.echo(f"published {version}", err=True)
        done = watch(
            Ec2Fleet(settings),
            images.in_use(),
            60 * deadline,
            report=lambda seen: click.echo(
                f"image in use: {counted(len(seen.new), 'machine')}, "
                f"an older one: {counted(len(seen.old), 'machine')}",
                err=True,
            ),
            why=lambda: _why(settings),
        )
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        machines = counted(len(done.new), "machine")
        click.echo(f"{machines} with {done.version or 'the image in use'}, none with an older one")


roll = copy(rollout)
"""The command's former name."""
roll.name, roll.hidden = "roll", True
