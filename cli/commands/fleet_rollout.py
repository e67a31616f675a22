"""``facerec fleet roll``: until every machine runs the image in use, or back to an earlier one."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import click

from ami_build.image.registry import Images
from autoscale.decisions import GONE, LATEST, Decision
from autoscale.fleet import NAME, Ec2Fleet, Fleet
from autoscale.model import Machine
from autoscale.state import PREFIX
from cli.decision_archive import JSON
from cli.friendly_errors import told_plainly
from facerec_tasks.errors import AwsError, FacerecError
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage.state_bucket import StateBucket

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
    tell: Callable[[RolloutProgress], None],
    why: Callable[[], str],
) -> RolloutProgress:
    """Waits until no machine has an old image; tells whenever that has come closer.

    ``deadline`` is seconds from now. Raises :class:`RolloutIncomplete`.
    """
    end, told = time.monotonic() + deadline, None
    while True:
        try:
            seen = progress(fleet.describe(), version)
        except AwsError:
            if time.monotonic() > end:
                raise
        else:
            if seen != told:
                tell(seen)
                told = seen
            if not seen.old:
                return seen
            if time.monotonic() > end:
                raise RolloutIncomplete(f"still of an old image: {', '.join(seen.old)}. {why()}")
        time.sleep(LOOK)


def _why(settings: Settings) -> str:
    found = StateBucket(settings, PREFIX).find(LATEST)
    said = Decision.from_json(found.data.decode()).not_less if found else ""
    return f"The controller: {said}" if said else "The controller says nothing: does it run?"


@click.command()
@click.argument("version", default="")
@click.option("--deadline", type=click.FloatRange(0), default=30, help="In minutes (30).")
@JSON
def roll(version: str, deadline: float, as_json: bool) -> None:
    """Wait until every machine runs the image in use.

    The controller replaces machines of an old image by itself: one first, then as many at a time as
    are up; each serves until its successor does, and drains. With a VERSION that image is published
    before: that is the way back. At rest there is nothing to replace but stopped machines.
    """
    settings = get_settings()
    with told_plainly():
        images = Images(settings)
        if version and images.publish(version):
            click.echo(f"published {version}", err=True)
        done = watch(
            Ec2Fleet(settings),
            images.in_use(),
            60 * deadline,
            tell=lambda seen: click.echo(
                f"{len(seen.new)} of the image in use, {len(seen.old)} of another", err=True
            ),
            why=lambda: _why(settings),
        )
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        click.echo(f"every machine is of {done.version or 'the image in use'}: {len(done.new)}")
