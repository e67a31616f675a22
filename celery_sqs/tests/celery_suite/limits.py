"""The written list of what passes on Redis and cannot pass on SQS, with the reasons.

It is the table of ``docs/limits.md`` between two comments; the first column is the file and test as
pytest names them, with ``*`` for any text, the second the reason.
"""

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "limits.md"
BEGIN, END = "<!-- celery-suite: begin -->", "<!-- celery-suite: end -->"
_ROW = re.compile(r"^\| `(?P<test>[^`]+)` \| (?P<reason>.+) \|$")


@dataclass(frozen=True)
class Limit:
    """One row."""

    test: str
    reason: str

    def covers(self, test: str) -> bool:
        """Whether it speaks of this test."""
        return fnmatch.fnmatchcase(test, self.test.replace("[", "[[]"))


def read_limits(page: Path = PAGE) -> list[Limit]:
    """Raises :class:`ValueError` for a row that is not one."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page}: no table between {BEGIN} and {END}")
    rows = text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    found = [_ROW.match(row) for row in rows]
    faults = [row for row, match in zip(rows, found, strict=True) if match is None]
    if faults:
        raise ValueError(f"{page}: not a row of test and reason: {faults[0]!r}")
    return [Limit(match["test"], match["reason"]) for match in found if match]
