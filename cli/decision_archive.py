"""Reads the controller's stored decisions for the commands of ``facerec fleet``."""

import click

from autoscale import decisions
from autoscale.decisions import Decision
from facerec_tasks.settings import get_settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
DAY = click.option(
    "--day", default="", metavar="YYYY-MM-DD", help="Only this day (UTC); default: all days."
)


def read_decisions(day: str, newest: int | None = None) -> list[Decision]:
    """Those of a day, the ``newest`` ones, or all; oldest first."""
    state = StateBucket(get_settings(), layout.CONTROLLER)
    if newest is not None and not day:
        return decisions.read_last(state, newest)
    return list(decisions.read(state, day))
