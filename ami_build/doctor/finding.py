"""The result of one check."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["fine", "advice", "fault"]

DEPLOY = "facerec aws deploy"
"""Brings every resource of the stack back to what the template says."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; with a fault, how to mend it."""

    subject: str
    """What was looked at, the same words every time."""
    level: Level = "fine"
    fault: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        if self.level == "fine":
            return f"ok      {self.subject}"
        return f"{self.level.upper():7} {self.subject}: {self.fault}\n        → {self.remedy}"


def judge(
    subject: str, good: object, fault: str, remedy: str, *, level: Level = "fault"
) -> Finding:
    """Fine when ``good``, else the fault."""
    return Finding(subject) if good else Finding(subject, level, fault, remedy)
