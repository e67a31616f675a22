"""The people a command is about: of the collection that was given."""

import click

from facerec_tasks.settings import get_settings
from facerec_tasks.storage.collections import DEFAULT
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket

_KEY = "cli.enrolled.collection"


def set_collection(name: str) -> None:
    """For the rest of this command."""
    click.get_current_context().meta[_KEY] = name


def collection() -> str:
    """Its name."""
    name: str = click.get_current_context().meta.get(_KEY, DEFAULT)
    return name


def enrolled_people() -> People:
    """Raises :class:`~facerec_tasks.storage.collections.NoSuchCollection`."""
    return People(StateBucket(get_settings()), collection())
