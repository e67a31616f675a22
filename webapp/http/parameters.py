"""Query parameters, each with its check and its description. Calling one gives its value."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import request

from facerec_tasks.schemas import CANDIDATES, MOST_CANDIDATES
from webapp.http.errors import Problem

Schema = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """``?name=text``; None if it is not given."""

    name: str
    description: str

    def __call__(self) -> str | None:
        return request.args.get(self.name)

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True)
class Flag:
    """``?name=0`` or ``1``; raises :class:`Problem`."""

    name: str
    description: str
    default: bool

    def __call__(self) -> bool:
        given = request.args.get(self.name, str(int(self.default)))
        if given not in ("0", "1"):
            raise Problem("bad-request", f"{self.name} is 0 or 1")
        return given == "1"

    def schema(self) -> Schema:
        return {"type": "string", "enum": ["0", "1"], "default": str(int(self.default))}


@dataclass(frozen=True)
class Whole:
    """``?name=7``, a whole number of a range; raises :class:`Problem`."""

    name: str
    description: str
    default: int
    least: int
    most: int

    def __call__(self) -> int:
        given = request.args.get(self.name)
        if given is None:
            return self.default
        plain = given.isascii() and given.isdecimal()
        if not (plain and self.least <= int(given[:9]) <= self.most):
            raise Problem(
                "bad-request", f"{self.name} is a whole number, {self.least} to {self.most}"
            )
        return int(given)

    def schema(self) -> Schema:
        return {
            "type": "integer",
            "minimum": self.least,
            "maximum": self.most,
            "default": self.default,
        }


@dataclass(frozen=True)
class Real:
    """``?name=0.5``, 0 to ``most``; None if it is not given; raises :class:`Problem`."""

    name: str
    description: str
    most: float

    def __call__(self) -> float | None:
        given = request.args.get(self.name)
        if given is None:
            return None
        try:
            value = float(given)
        except ValueError:
            value = -1.0
        if not 0 <= value <= self.most:  # not so of NaN either
            raise Problem("bad-request", f"{self.name} is a number, 0 to {self.most:g}")
        return value

    def schema(self) -> Schema:
        return {"type": "number", "minimum": 0, "maximum": self.most}


@dataclass(frozen=True)
class Moment:
    """``?name=2026-11-29`` or ``2026-11-29T15:00:00Z`` in unix seconds, UTC where no other zone is
    given; None if it is not given; raises :class:`Problem`."""

    name: str
    description: str
    format: str = "date-time"

    def __call__(self) -> float | None:
        given = request.args.get(self.name)
        if given is None:
            return None
        try:
            found = datetime.fromisoformat(given)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError) as error:
            raise Problem("bad-request", f"{self.name} is a time of ISO 8601") from error

    def schema(self) -> Schema:
        return {"type": "string", "format": self.format}


Parameter = Text | Flag | Whole | Real | Moment

CANDIDATES_OF_FACE = Whole(
    "candidates",
    "How many of the nearest people are listed for each face.",
    CANDIDATES,
    1,
    MOST_CANDIDATES,
)
FORCE = Flag("force", "1: also small, blurred and look-alike faces.", default=False)
