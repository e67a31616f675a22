"""Query parameters, each with its check and its description. Calling one gives its value."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from flask import request

from facerec_tasks.schemas import CANDIDATES, MOST_CANDIDATES
from webapp.http.errors import Problem

Schema = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """``?name=value``."""

    name: str
    description: str
    schema: Schema
    default: T
    """The value where it is not given."""
    read: Callable[[str], T]
    """May raise :class:`ValueError`."""
    expected: str = "text"
    """What a value is, for those who gave another."""

    def __call__(self) -> T:
        """Raises :class:`Problem`."""
        given = request.args.get(self.name)
        try:
            return self.default if given is None else self.read(given)
        except (ValueError, OverflowError) as error:
            raise Problem("bad-request", f"{self.name} is {self.expected}") from error


def text(name: str, description: str) -> Parameter[str | None]:
    """None if it is not given."""
    return Parameter(name, description, {"type": "string"}, None, str)


def flag(name: str, description: str, default: bool) -> Parameter[bool]:
    """0 or 1."""
    values = ["0", "1"]
    schema = {"type": "string", "enum": values, "default": str(int(default))}
    return Parameter(
        name, description, schema, default, lambda given: bool(values.index(given)), "0 or 1"
    )


def whole(name: str, description: str, default: int, least: int, most: int) -> Parameter[int]:
    """A whole number of a range."""

    def read(given: str) -> int:
        if not (given.isascii() and given.isdecimal() and least <= int(given) <= most):
            raise ValueError
        return int(given)

    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    expected = f"a whole number, {least} to {most}"
    return Parameter(name, description, schema, default, read, expected)


def real(name: str, description: str, most: float) -> Parameter[float | None]:
    """0 to ``most``; None if it is not given."""

    def read(given: str) -> float:
        if not 0 <= float(given) <= most:  # not so of NaN either
            raise ValueError
        return float(given)

    schema = {"type": "number", "minimum": 0, "maximum": most}
    return Parameter(name, description, schema, None, read, f"a number, 0 to {most:g}")


def moment(name: str, description: str, format_: str = "date-time") -> Parameter[float | None]:
    """``2026-11-29`` or ``2026-11-29T15:00:00Z`` in unix seconds, UTC where no other zone is given;
    None if it is not given."""

    def read(given: str) -> float:
        found = datetime.fromisoformat(given)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

    schema = {"type": "string", "format": format_}
    return Parameter(name, description, schema, None, read, "a time of ISO 8601")


CANDIDATES_OF_FACE = whole(
    "candidates",
    "How many of the nearest people are listed for each face.",
    CANDIDATES,
    1,
    MOST_CANDIDATES,
)
FORCE = flag("force", "1: also small, blurred and look-alike faces.", default=False)
