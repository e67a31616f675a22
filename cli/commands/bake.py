"""``facerec aws bake``: the machine image ``app-tier-ami`` from this checkout."""

from pathlib import Path
from typing import Any

import click

from ami_build.image.bake import Bake
from ami_build.image.bake_options import BakeOptions, BakeResult
from ami_build.image.registry import KEEP
from facerec_tasks.settings import get_settings
from local.processes.shutdown import ShutdownRequested, end_on_signals


@click.command()
@click.option(
    "--base-image",
    default="",
    metavar="AMI",
    help="Base image to start from; default: the newest Debian 12.",
)
@click.option(
    "--instance-type",
    default="",
    help="EC2 type of the machine that is baked (FACEREC_INSTANCE_TYPE).",
)
@click.option(
    "--subnet",
    default="",
    metavar="ID",
    help="Subnet of the machine; default: one of the default VPC.",
)
@click.option(
    "--facenet",
    "weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="FaceNet checkpoint to convert into the image, too.",
)
@click.option(
    "--keep", type=click.IntRange(1), default=KEEP, show_default=True, help="Images to keep."
)
@click.option(
    "--deadline",
    type=click.FloatRange(1),
    default=30,
    show_default=True,
    help="Minutes after which the bake is given up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bake(instance_type: str, deadline: float, as_json: bool, **options: Any) -> None:
    """Build the machine image from this checkout and publish it.

    Launches a machine that provisions itself, without ssh, key pair or open port, and always
    terminates it. The controller then replaces running workers: see `fleet rollout`.
    """
    kind = instance_type or get_settings().instance_type
    wanted = BakeOptions(instance_type=kind, deadline=deadline * 60, **options)
    done = run(wanted, interrupted="there is no new image")
    if as_json:
        click.echo(done.to_json())
        return
    click.echo(f"{done.image} is published as {done.version}, after {done.seconds:.0f} s")
    if done.dropped:
        click.echo(f"no longer kept: {', '.join(done.dropped)}")


def run(options: BakeOptions, interrupted: str) -> BakeResult:
    """A bake that tells of its steps; ``interrupted``: what to say of one that a signal ended."""
    end_on_signals()
    try:
        return Bake(get_settings(), options, tell=lambda line: click.echo(line, err=True)).run()
    except ShutdownRequested:  # the machine has been told to end
        raise click.ClickException(f"interrupted; {interrupted}") from None
