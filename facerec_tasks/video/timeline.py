"""The result of a video: people and the times they are seen. Values with one JSON form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SAME = 0.75
"""Seconds between two spans of a person that make one."""
MOST_SPANS = 1000
"""Spans of one person; of more, the shortest gaps are closed."""

Span = tuple[float, float]
"""Seconds from and to."""


@dataclass(frozen=True)
class PersonInVideo:
    """Somebody who is seen, known or not."""

    name: str
    """``unknown`` with a number for somebody who is not in the gallery."""
    known: bool
    confidence: float
    """How sure it is that the name is right (or that nobody known has this face), 0 to 1."""
    spans: tuple[Span, ...]
    """Ascending and apart."""
    frames: int
    """Looks that saw them."""
    crop: str | None = None
    """Name of their best picture, once it is stored."""
    person_id: str | None = None
    """Of somebody who is in the gallery, unless several bear the name."""

    @property
    def seconds(self) -> float:
        return round(sum(end - begin for begin, end in self.spans), 3)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "known": self.known,
            "confidence": self.confidence,
            "seconds": self.seconds,
            "frames": self.frames,
            "spans": [list(span) for span in self.spans],
            **({"crop": self.crop} if self.crop else {}),
            **({"person_id": self.person_id} if self.person_id else {}),
        }


def merged(spans: Sequence[Span], apart: float = SAME) -> tuple[Span, ...]:
    """Ascending, with what overlaps or lies less than ``apart`` seconds from each other as one."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin - found[-1][1] <= apart:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found) if len(found) <= MOST_SPANS else merged(found, 2 * apart)


def together(one: Sequence[Span], other: Sequence[Span]) -> float:
    """Seconds in which both are."""
    return sum(max(0.0, min(e0, e1) - max(b0, b1)) for b0, e0 in one for b1, e1 in other)
