"""Who is enrolled, without numbers of an engine: people, their faces, and where those were seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class FaceBox(NamedTuple):
    """Where a face is on its upright photo, as shares of the photo's width and height."""

    left: float
    """Less than 0, like ``left + width`` more than 1, when the face reaches over the edge."""
    top: float
    width: float
    height: float
    score: float
    """Probability that this is a face."""

    def overlap(self, other: "FaceBox") -> float:
        """Area of both over the area of either, 0 to 1 (Jaccard)."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        both = max(0.0, across) * max(0.0, down)
        return both / (self.width * self.height + other.width * other.height - both)

    @classmethod
    def of_pixels(
        cls, box: tuple[float, float, float, float], score: float, width: int, height: int
    ) -> "FaceBox":
        """From left, top, right, bottom in pixels of a photo of that width and height."""
        left, top, right, bottom = box
        return cls(
            round(left / width, 5),
            round(top / height, 5),
            round((right - left) / width, 5),
            round((bottom - top) / height, 5),
            round(score, 4),
        )


class FaceRecord(NamedTuple):
    """One enrolled face. A tuple, since large collections make tens of thousands of them."""

    id: str
    photo: str
    """Id of the photo it comes from; empty when it was imported without one."""
    box: FaceBox | None = None
    """None where only the embedding is known, or of a gallery of format 1."""


@dataclass(frozen=True)
class PersonRecord:
    """One person: an id, a label that others may bear as well, and their faces."""

    id: str
    name: str
    faces: Sequence[FaceRecord]
    """In the order of enrollment, at least one."""
