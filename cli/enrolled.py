"""The enrolled people of the collection that a command was given."""

import click

from facerec_tasks.settings import get_settings
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket


def collection() -> str:
    """Its name, which `facerec people` leaves to its commands."""
    name: str = click.get_current_context().obj
    return name


def enrolled_people() -> People:
    """Raises :class:`~facerec_tasks.storage.collections.NoSuchCollection`."""
    return People(StateBucket(get_settings()), collection())
