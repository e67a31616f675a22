"""What the tasks of a worker process share: its engine and what it keeps in S3.

Web processes import the tasks they send, so nothing here imports the engine: the worker hands it
over before it forks its children.
"""

from functools import cache
from typing import TYPE_CHECKING

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.attempts import Attempts
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket

if TYPE_CHECKING:
    from facerec_tasks.engine import Engine

_engine: "Engine | None" = None


def set_engine(engine: "Engine") -> None:
    """Called once in the parent, inherited by the children."""
    global _engine
    _engine = engine


def engine() -> "Engine":
    """This worker's; raises :class:`ConfigurationError`."""
    if _engine is None:
        raise ConfigurationError("this worker has no engine: start facerec_tasks.worker")
    return _engine


@cache
def storage() -> Storage:
    return Storage(get_settings())


def state() -> StateBucket:
    return storage().state


@cache
def results() -> Results:
    return Results(state())


@cache
def attempts() -> Attempts:
    return Attempts(state())
