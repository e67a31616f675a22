"""The ``facerec`` command: one module per noun, imported only when it is called."""

import importlib
import logging

import click

from cli.friendly_errors import friendly_errors
from local.processes.discovery import discover

NOUNS = {
    "up": "Run the whole system on this machine.",
    "recognize": "Recognize the people on photos and in videos, without AWS.",
    "people": "Enroll, list, edit and remove people; calibrate recognition.",
    "engine": "Add, list and remove the networks that faces are embedded with.",
    "photos": "List and purge stored photos.",
    "history": "List past answers.",
    "keys": "Manage API keys of the web tier.",
    "load": "Send many photos concurrently and measure.",
    "fleet": "Show, explain and simulate the EC2 worker fleet.",
    "queue": "Show, redrive and purge the request queue and its dead-letter queue.",
    "aws": "Deploy, check and remove the system in an AWS account.",
}


class _Lazy(click.Group):
    """Imports a command when it is used: ``--help`` loads neither boto3 nor the engine."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in NOUNS:
            return None
        command = getattr(importlib.import_module(f"cli.commands.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facerec")
@click.pass_context
def main(context: click.Context) -> None:
    """Elastic face recognition on AWS.

    While `facerec up` runs in this folder, the other commands use it, unless AWS_ENDPOINT_URL
    is set.
    """
    logging.captureWarnings(True)
    if context.invoked_subcommand != "up":
        with friendly_errors():
            discover()
