"""The scaling formula: the least number of machines that do every photo before its own deadline.

A photo is due one latency objective after it arrived. Photos are served first in, first out, so of
``waiting`` photos those that arrived last still wait, and recorded arrivals give each its deadline.
With ``n`` machines, each doing ``mu`` photos a second once it is ready, all are in time when for
every ``x``::

    photos due within x seconds  <=  mu * sum(max(0, x - ready_i) for the n that are ready first)

Beyond the objective, what is due goes on with the arrivals expected while a new machine boots: a
machine that is started later could not do those in time. Photos that are due before a new machine
can be ready are asked of those that are there alone. New machines are not added for them, because
they could not help.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from autoscale.arrivals import Stream, Totals, total_at

BOOT_MARGIN = 0.3
"""Of the mean boot, added to it for one machine: about 85 % of boots are over then."""
LEAST_SLACK = 5.0
"""Seconds a new machine is given at least for what it is started for."""
LEAST_LEFT = 0.15
"""Of the mean boot: what a boot that takes long is expected to need still."""
FRACTION = 0.05
"""Of a machine: what is less is rounded down, so that noise does not cost a machine."""
POINTS = 8
"""Times within the objective at which the formula is checked."""
AHEAD = 100.0
"""Seconds over which a young stream must be kept up with."""


@dataclass(frozen=True)
class Deadlines:
    """Photos by the time they are due."""

    due: tuple[tuple[float, float], ...]
    """(x, photos due within x seconds), ascending; the objective, then beyond it."""
    waiting: float
    rate: float
    """Arrivals per second that must be kept up with."""


@dataclass(frozen=True)
class Capacity:
    """Machines that are there."""

    ready_in: tuple[float, ...]
    """Seconds until each can serve, ascending; 0 for one that serves."""
    rate: float
    """mu: photos per second of one machine."""
    boot: float
    """Mean seconds until a new one serves."""


@dataclass(frozen=True)
class Required:
    """The result, and the inequality that decided it."""

    machines: int
    by_rate: bool = False
    """The arrival rate decided it, not a deadline."""
    within: float = 0.0
    due: float = 0.0
    """Photos due within that many seconds."""
    done: float = 0.0
    """Photos that the machines there do by then."""
    each: float = 0.0
    """Photos that each new one does by then."""


def deadlines(
    waiting: float, totals: Totals, arriving: Stream, slo: float, boot: float
) -> Deadlines:
    """Deadlines of ``waiting`` photos, and of those expected while a machine boots.

    ``totals`` end now. Those that arrived before them are due at once.
    """
    now, total = totals[-1]
    due = []
    for i in range(1, POINTS):
        x = slo * i / POINTS
        due.append((x, max(0.0, waiting - (total - total_at(totals, now - slo + x)))))
    due.append((slo, waiting))
    due += [(slo + t, waiting + arriving.expected(t)) for t in (boot / 2, boot)]
    return Deadlines(tuple(due), waiting, arriving.expected(AHEAD) / AHEAD)


def required(photos: Deadlines, capacity: Capacity) -> Required:
    """The least number of machines; those that are there come first."""
    by_deadline = _by_deadline(photos, capacity)
    by_rate = math.ceil(photos.rate / capacity.rate - FRACTION)
    if by_rate > by_deadline.machines:
        return Required(by_rate, by_rate=True)
    return by_deadline


def _by_deadline(photos: Deadlines, capacity: Capacity) -> Required:
    there = len(capacity.ready_in)
    needed = Required(0)
    for x, due in photos.due:
        n = next((n for n in range(there + 1) if not _late(x, due, capacity, n)), there + 1)
        if n > needed.machines:
            each = _done_by_new(1, x, capacity)
            needed = Required(n, False, x, due, _done(x, capacity, there), each)
    if needed.machines <= there:
        return needed
    return max(
        (_with_new(x, d, capacity) for x, d in _helped(photos, capacity)),
        key=attrgetter("machines"),
    )


def _helped(photos: Deadlines, capacity: Capacity) -> Sequence[tuple[float, float]]:
    """What a new machine can help with: what is due when even a slow one is up, and while none
    serves, what has just arrived if most are up then. Late photos are to be done soon after its
    boot."""
    first = ready_after(capacity.boot, 1) + LEAST_SLACK
    just_arrived = photos.due[POINTS - 1][0]
    serves = bool(capacity.ready_in) and capacity.ready_in[0] <= 0
    if first > just_arrived >= capacity.boot + LEAST_SLACK and not serves:
        first = just_arrived
    return [p for p in photos.due if p[0] >= first] or [(first, photos.waiting)]


def _with_new(x: float, due: float, capacity: Capacity) -> Required:
    there = len(capacity.ready_in)
    done = _done(x, capacity, there)
    new = 0
    while done + _done_by_new(new, x, capacity) < due - FRACTION * capacity.rate:
        new += 1 + new // 20
    each = _done_by_new(new, x, capacity) / max(1, new)
    return Required(there + new, within=x, due=due, done=done, each=each)


def _late(x: float, due: float, capacity: Capacity, n: int) -> bool:
    return due - _done(x, capacity, n) > FRACTION * capacity.rate


def _done(x: float, capacity: Capacity, n: int) -> float:
    """Photos that the first ``n`` machines do within ``x`` seconds."""
    return capacity.rate * sum(max(0.0, x - ready) for ready in capacity.ready_in[:n])


def _done_by_new(count: int, x: float, capacity: Capacity) -> float:
    return capacity.rate * count * max(0.0, x - ready_after(capacity.boot, count))


def ready_after(boot: float, count: int) -> float:
    """Mean seconds until ``count`` machines serve that are started together, with a margin.

    The more there are, the nearer their mean is to the mean boot. It shrinks by the fourth root,
    not by the square root as for independent boots, because slow boots come together.
    """
    return boot * (1 + BOOT_MARGIN / math.sqrt(math.sqrt(max(1, count))))


def still_booting(boot: float, count: int, age: float) -> float:
    """Seconds until a machine serves that has booted for ``age`` seconds, one of ``count``."""
    return max(LEAST_LEFT * boot, ready_after(boot, count) - age)
