"""Whether a constant fleet would have been cheaper than starting and stopping machines.

On traffic that comes back soon enough, every stop is followed by a boot and another minute that is
billed. The last minutes of traffic and cost are remembered; when the smallest constant fleet that
would have done that traffic in time had cost less, that number of machines is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WINDOW = 1200.0
"""Seconds of traffic over which a constant fleet is compared."""
LEAST_WINDOW = 300.0
LEAST_PAUSE = 60.0
SAMPLE = 4.0
"""Seconds between two samples of the traffic."""
WARM_SHARE = 0.8
"""Of the objective: the longest wait with a constant fleet."""
START_ANEW = 120.0
"""Billed seconds of a start from nothing, with a second machine: a pause that is longer is dearer
than that for a fleet of one."""
LONGER = 1.5
"""A pause this many times longer than any before says that the traffic has changed."""


@dataclass(frozen=True)
class TrafficSample:
    """Totals at one time."""

    at: float
    arrived: float
    billed: float
    """Machine-seconds."""


def sampled(samples: Sequence[TrafficSample], new: TrafficSample) -> tuple[TrafficSample, ...]:
    """With one more, if the last is old enough; without those before the window."""
    if samples and new.at - samples[-1].at < SAMPLE:
        return tuple(samples)
    first = 0
    while first < len(samples) and samples[first].at < new.at - WINDOW:
        first += 1
    return (*samples[first:], new)


def warm_fleet(samples: Sequence[TrafficSample], rate: float, slo: float, cap: int) -> int:
    """Machines to keep all the time: as many as would have done the traffic of the window alone,
    if that had cost less than what was billed; else 0.

    ``rate``: photos a second of one machine.
    """
    if len(samples) < 2 or samples[-1].at - samples[0].at < LEAST_WINDOW:
        return 0
    begin = next((s for s in samples if s.arrived > samples[0].arrived), None)
    if begin is None:
        return 0
    arrivals = [b.at for a, b in pairwise(samples) if b.arrived > a.arrived]
    quiet = samples[-1].at - arrivals[-1]
    if _changed(arrivals, quiet):
        return 0
    seconds, billed = samples[-1].at - begin.at, samples[-1].billed - begin.billed
    if seconds < LEAST_WINDOW:
        return 0
    most = min(cap, int(billed / seconds))
    if not most or not _suffices(most, samples, rate, slo):
        return 0
    fleet = next(n for n in range(1, most + 1) if _suffices(n, samples, rate, slo))
    return 0 if fleet == 1 and quiet > START_ANEW else fleet


def _suffices(n: int, samples: Sequence[TrafficSample], rate: float, slo: float) -> bool:
    """Whether ``n`` machines would have done every photo in time, first in, first out."""
    waiting, longest = 0.0, WARM_SHARE * slo * rate * n
    for before, after in pairwise(samples):
        waiting += after.arrived - before.arrived
        if waiting > longest:
            return False
        waiting = max(0.0, waiting - n * rate * (after.at - before.at))
    return True


def _changed(arrivals: Sequence[float], quiet: float) -> bool:
    """Whether nothing has arrived for longer, ``quiet`` seconds, than the traffic ever paused."""
    pauses = [b - a for a, b in pairwise(arrivals)]
    return quiet > max(LEAST_PAUSE, LONGER * max(pauses, default=0.0))
