"""How photos arrive: from running totals to a rate, and how long it has lasted.

``totals`` are (time, arrivals until then) pairs in the order of time. Between two of them arrivals
are taken as even, but as new when the two lie far apart: a burst that ends a rest is no rate.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

BUCKET, BUCKETS = 2.0, 7
"""Seconds of a bucket, and buckets of which the median counts."""
MEAN = 30.0
"""Seconds of the mean that limits the median: its noise would cost machines."""
LASTS = 8.0
"""Seconds over which a stream counts as going on while half its rate arrives."""
LONGEST = 150.0
"""Seconds of arrivals that are looked at."""
STEADY = 120.0
"""Seconds from which on a stream is expected to go on as it is."""
LEAST_RATE = 0.05

Totals = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Stream:
    """Arrivals per second, and for how many seconds they have gone on."""

    rate: float
    lasted: float

    def expected(self, seconds: float) -> float:
        """Arrivals of the next ``seconds``.

        A stream that has lasted ``s`` seconds lasts another ``t`` with probability ``s / (s + t)``:
        durations without a scale of their own (J. R. Gott, Nature 363, 1993). So a burst that has
        just begun is not taken for a steady stream; one that has lasted is.
        """
        if self.lasted <= 0:
            return 0.0
        if self.lasted >= STEADY:
            return self.rate * seconds
        return self.rate * self.lasted * math.log1p(seconds / self.lasted)


def stream(totals: Totals, now: float) -> Stream:
    """The stream at ``now``: the median of short buckets, at most the mean of half a minute."""
    rate = min(arrival_rate(totals, now), _mean_rate(totals, now, MEAN))
    if rate < LEAST_RATE:
        return Stream(0.0, 0.0)
    begin = now
    while begin > now - LONGEST and _mean_rate(totals, begin, LASTS) >= rate / 2:
        begin -= LASTS / 2
    return Stream(rate, max(LASTS / 2, now - begin))


def arrival_rate(totals: Totals, now: float) -> float:
    """Median of the arrivals in the last seven 2 s buckets, per second."""
    edges = [total_at(totals, now - BUCKET * i) for i in range(BUCKETS + 1)]
    counts = sorted(later - earlier for later, earlier in pairwise(edges))
    return max(0.0, counts[BUCKETS // 2] / BUCKET)


def _mean_rate(totals: Totals, now: float, seconds: float) -> float:
    return max(0.0, total_at(totals, now) - total_at(totals, now - seconds)) / seconds


def total_at(totals: Totals, when: float) -> float:
    """Arrivals until ``when``."""
    i = bisect_right(totals, (when, math.inf))
    if i == 0:
        return totals[0][1]
    if i == len(totals):
        return totals[-1][1]
    (t0, a0), (t1, a1) = totals[i - 1], totals[i]
    begin = max(t0, t1 - BUCKET)
    return a0 + (a1 - a0) * max(0.0, when - begin) / (t1 - begin)
