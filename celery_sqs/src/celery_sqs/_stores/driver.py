"""What chords need of a store beyond get and set: atomic marks, and reading many values at once.

A *mark* is a short string in the set of one chord: ``part/<task>``, ``claim/1``, ``done``. Adding
one twice is adding it once, which is what makes counting safe under at-least-once delivery.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from celery_sqs._stores.dynamodb import DynamoDBDriver
from celery_sqs._stores.filesystem import FilesystemDriver
from celery_sqs._stores.redis import RedisDriver
from celery_sqs._stores.s3 import S3Driver

MARKS_PREFIX = "celery-chord-marks-"


class Driver(Protocol):
    """One store. Every method may raise the errors of its client."""

    def read_many(self, keys: Sequence[Any]) -> list[Any]:
        """The values in the order of the keys, ``None`` where there is none. Reads its writes."""

    def add(self, chord: str, mark: str) -> set[str]:
        """Adds a mark; returns all marks of this chord, this one included."""

    def create(self, chord: str, mark: str) -> bool:
        """Adds a mark unless it is there; of any number of callers one gets true."""

    def marks(self, chord: str) -> set[str]:
        """All marks of this chord."""

    def remove(self, chord: str, marks: Iterable[str]) -> None:
        """Removes marks; those that are not there are none."""

    def decide(self, chord: str, question: str, answer: str) -> str:
        """The answer to a question, which is that of the first caller for ever. No mark."""

    def clear(self, chord: str) -> None:
        """Removes all marks and decisions of this chord."""


DRIVERS: dict[str, Callable[[Any, str], Driver]] = {
    "S3Backend": S3Driver,
    "DynamoDBBackend": DynamoDBDriver,
    "RedisBackend": RedisDriver,
    "FilesystemBackend": FilesystemDriver,
}
"""By the name of Celery's class, subclasses included."""


def driver_for(backend: Any) -> Driver | None:
    """``None`` for a store without conditional writes, which therefore has no chords."""
    for cls in type(backend).__mro__:
        if cls.__name__ in DRIVERS:
            return DRIVERS[cls.__name__](backend, MARKS_PREFIX)
    return None
