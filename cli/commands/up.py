"""``facerec up``: the whole system on this machine."""

import logging
import os

import click

from cli.friendly_errors import friendly_errors
from facerec_tasks.settings import get_settings
from local.processes.supervisor import ServiceFailed

_DEFAULTS = "Defaults come from FACEREC_* variables in the environment or in .env."


@click.command(epilog=_DEFAULTS)
@click.option("--port", type=int, help="Port of the web tier (PORT, else 8000).")
@click.option("--flower-port", type=int, help="Port of Flower (FACEREC_FLOWER_PORT, else 5555).")
@click.option(
    "--aws-port", type=int, help="Port of the embedded AWS (FACEREC_LOCAL_AWS_PORT, else 4566)."
)
@click.option(
    "--max-instances", type=int, help="Most EC2 workers at a time (FACEREC_MAX_INSTANCES, else 15)."
)
@click.option(
    "--profile",
    type=click.Choice(["slo", "one-per-backlog", "course"]),
    help="Scaling profile; course: the former name of one-per-backlog.",
)
@click.option("--concurrency", type=int, help="Worker processes per machine (1).")
@click.option("--pending", type=float, help="Seconds an emulated machine takes to boot (2).")
@click.option("--stopping", type=float, help="Seconds an emulated machine takes to stop (1).")
@click.option(
    "--with-parent", is_flag=True, help="Stop when the process that started this command ends."
)
def up(with_parent: bool, **options: str | int | float | None) -> None:
    """Run the whole system on this machine until Ctrl-C.

    AWS is emulated by a process on this machine. Photos, names, answers and people are kept as
    files in .local/objects; queues, machines and API keys are in memory and lost at the end. No
    real account is used, whatever credentials the environment holds. Logs are in .local/logs.
    """
    parent = os.getppid() if with_parent else None
    _put_in_environment(options)
    logging.basicConfig(format="facerec: %(message)s", level=logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # full pools are no news
    from local.up import up as run  # --help must not wait for boto3

    with friendly_errors(ServiceFailed):
        run(get_settings(), parent=parent)


_VARIABLES = {
    "port": "PORT",
    "flower_port": "FACEREC_FLOWER_PORT",
    "aws_port": "FACEREC_LOCAL_AWS_PORT",
    "max_instances": "FACEREC_MAX_INSTANCES",
    "profile": "FACEREC_SCALING_PROFILE",
    "concurrency": "FACEREC_LOCAL_CONCURRENCY",
    "pending": "FACEREC_LOCAL_PENDING",
    "stopping": "FACEREC_LOCAL_STOPPING",
}


def _put_in_environment(options: dict[str, str | int | float | None]) -> None:
    """The processes we start read the same settings as we do."""
    for option, value in options.items():
        if value is not None:
            os.environ[_VARIABLES[option]] = str(value)
    get_settings.cache_clear()
