"""Machines that run whether there is work or not: always, or at times of the day.

``FACEREC_MIN_INSTANCES=1`` keeps one, ``FACEREC_MIN_INSTANCES_SCHEDULE`` more at times:
``Mon-Fri_08:00-18:00=2,23:00-01:00=1``. Times are UTC; a window may pass midnight; without
days it holds every day.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(
    rf"(?:({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))?[ _])?"
    r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)=(\d{1,4})"
)


@dataclass(frozen=True)
class ScheduleWindow:
    """A window of the day, in minutes, on some days of the week."""

    days: frozenset[int]
    """On which it begins; Monday is 0."""
    begin: int
    end: int
    machines: int

    @classmethod
    def parse(cls, text: str) -> "ScheduleWindow":
        """Raises :class:`ValueError`."""
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise ValueError(f"not a window like 'Mon-Fri_08:00-18:00=2': {text!r}")
        first, last, *numbers = match.groups()
        h0, m0, h1, m1, machines = map(int, numbers)
        a = DAYS.index(first) if first else 0
        b = DAYS.index(last) if last else a if first else 6
        days = frozenset((a + i) % 7 for i in range((b - a) % 7 + 1))
        return cls(days, 60 * h0 + m0, 60 * h1 + m1, machines)

    def holds(self, now: float) -> bool:
        """Whether ``now`` (Unix seconds) lies in it."""
        when = datetime.fromtimestamp(now, UTC)
        minute, day = 60 * when.hour + when.minute, when.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        if minute >= self.begin:
            return day in self.days
        return minute < self.end and (day - 1) % 7 in self.days


def min_instances(always: int, schedule: Sequence[str], now: float) -> int:
    """The most that any window asks for now."""
    windows = (ScheduleWindow.parse(text) for text in schedule)
    return max([always, *(w.machines for w in windows if w.holds(now))])
