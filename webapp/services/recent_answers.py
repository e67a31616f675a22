"""How many answers there were lately and how long they took: fifteen minutes, in constant memory.

Latencies are counted in bounds that grow by 15 %, so a percentile is at most 15 % above the truth.
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

SLOT = 5.0
"""Seconds."""
SLOTS = 180
BOUNDS = tuple(0.01 * 1.15**n for n in range(80))
"""Seconds: 10 ms to ten minutes."""


@dataclass(frozen=True)
class AnswerStatistics:
    """AnswerStatistics of a while. Percentiles in seconds; none when there was no answer."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None


class RecentAnswers:
    """A window that slides by slots. Safe to use from many threads; times are Unix seconds."""

    def __init__(self) -> None:
        self._slots: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def add(self, now: float, seconds: float) -> None:
        """An answer, so long after its photo was accepted."""
        slot = slot_of(now)
        with self._lock:
            if slot not in self._slots:
                self._slots[slot] = [0] * (len(BOUNDS) + 1)
                for old in [old for old in self._slots if old <= slot - SLOTS]:
                    del self._slots[old]
            self._slots[slot][bisect_left(BOUNDS, seconds)] += 1

    def slots(self, now: float) -> list[AnswerStatistics]:
        """The window slot by slot, oldest first; the last one is not over yet."""
        last = slot_of(now)
        with self._lock:
            taken = [self._slots.get(slot, ()) for slot in range(last - SLOTS + 1, last + 1)]
            return [_answers(counts) for counts in taken]

    def total(self, now: float, seconds: float = SLOT * SLOTS) -> AnswerStatistics:
        """All answers of the last ``seconds``, in whole slots."""
        first = slot_of(now - seconds)
        with self._lock:
            chosen = [counts for slot, counts in self._slots.items() if slot > first]
            return _answers([sum(column) for column in zip(*chosen, strict=True)])


def slot_of(now: float) -> int:
    """Number of the slot a moment lies in."""
    return int(now // SLOT)


def _answers(counts: Sequence[int]) -> AnswerStatistics:
    reached = list(accumulate(counts))
    total = reached[-1] if reached else 0
    if not total:
        return AnswerStatistics(0, None, None, None)
    p50, p95, p99 = (_bound(bisect_left(reached, total * part)) for part in (0.5, 0.95, 0.99))
    return AnswerStatistics(total, p50, p95, p99)


def _bound(index: int) -> float:
    return BOUNDS[min(index, len(BOUNDS) - 1)]
