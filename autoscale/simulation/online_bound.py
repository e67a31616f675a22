"""What no controller can stay below that does not know when photos come, starting from nothing.

Here a controller starts machines only while photos wait, and learns how long a boot takes when it
is over. ``risk`` is the share of starts from nothing after which a photo may be late.
"""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from autoscale.keep_alive import LEAST_BILLED
from autoscale.simulation.environment import Environment, boot_seconds

SAMPLES = 2000
MOST_MACHINES = 40
GROUP = 5.0
"""Seconds in which photos count as one group."""
GROUP_STEP = 20
"""Photos to which the size of a group is rounded down."""
DELAY_STEP = 4
APART = 2.0
"""Seconds."""
PRICES = (1200.0, 1600.0, 2400.0)
"""Billed seconds for a start from nothing after which a photo is late."""


def burst_bound(photos: int, environment: Environment, risk: float = 0.01) -> float:
    """Expected billed seconds for a burst while nothing runs.

    All machines are started after the burst, each is billed a minute at least, and one whose boot
    takes ``b`` seconds has ``objective - b`` seconds for work. Until the fastest possible boot is
    over nothing is known of any boot, so the first ``m`` are started blindly; those that follow
    have so much less time. The bound lets the controller start just as many of those as it turns
    out to need, as if their boots were known, and give up the share ``risk`` of bursts: the
    cheapest ``m`` of all is a bound for every controller.
    """
    work = photos * environment.service / environment.processes
    return min(
        _expected(first, work, environment, risk)
        for first in range(1, MOST_MACHINES)
        if first == 1 or (first - 1) * LEAST_BILLED < _expected(1, work, environment, risk)
    )


def _expected(first: int, work: float, environment: Environment, risk: float) -> float:
    rng = random.Random(first)  # noqa: S311  no secret
    counts = sorted(_machines(first, work, environment, rng) for _ in range(SAMPLES))
    given_up = int(risk * SAMPLES)
    billed = LEAST_BILLED * (sum(counts[: SAMPLES - given_up]) + first * given_up)
    return billed / SAMPLES


def _machines(first: int, work: float, environment: Environment, rng: random.Random) -> int:
    """Machines until the work is done in time, of which ``first`` are started at once."""
    end, later = environment.slo, environment.slo - environment.boot[0]
    left = work - sum(max(0.0, end - boot_seconds(environment, rng)) for _ in range(first))
    count = first
    while left > 0 and count < MOST_MACHINES:
        left -= max(0.0, later - boot_seconds(environment, rng))
        count += 1
    return count


def start_bound(arrivals: Sequence[float], environment: Environment, risk: float = 0.005) -> float:
    """Expected billed seconds of a controller that knows beforehand how long traffic pauses, so
    that it keeps a machine just where that pays, but neither starts one before a photo waits nor
    knows how long boots take.

    Running periods that follow each other serve all photos, at the least sum by dynamic
    programming. A period begins some time after its first photo came, so that it may end later
    (:func:`_starts`), and costs at least what :func:`burst_bound` says of the photos that came
    together. Lateness has a price, and ``risk`` of it is refunded for each period: by Lagrange's
    duality a bound at any price.
    """
    return max(_at_price(arrivals, environment, risk, price) for price in PRICES)


def _at_price(
    arrivals: Sequence[float], environment: Environment, risk: float, price: float
) -> float:
    served: list[float] = []  # photos between these are left out: a bound all the more
    for at in arrivals:
        if not served or at - served[-1] >= APART:
            served.append(at)
    n, refund = len(served), price * risk
    starts = [(end, cost - refund) for end, cost in _starts(environment, price)]
    least = [0.0] * (n + 1)
    for i in range(n - 1, -1, -1):
        group = bisect_right(arrivals, served[i] + GROUP) - bisect_left(arrivals, served[i])
        together = _group_bound(group - group % GROUP_STEP, environment) - refund
        found = math.inf
        for j in range(i, n):
            length = served[j] - served[i]
            if length - starts[-1][0] - refund >= found:
                break
            alone = min(cost + max(0.0, length - end) for end, cost in starts)
            most = together + max(0.0, length - starts[-1][0])
            found = min(found, max(alone, most) + least[j + 1])
        least[i] = found
    return least[0]


@lru_cache(maxsize=1024)
def _group_bound(photos: int, environment: Environment) -> float:
    """Of photos that arrive within :data:`GROUP` seconds."""
    due = replace(environment, slo=environment.slo + GROUP)
    return burst_bound(photos, due, risk=0.0) if photos else 0.0


@lru_cache(maxsize=16)
def _starts(environment: Environment, price: float) -> tuple[tuple[float, float], ...]:
    """(seconds after its first photo at which the first minute of a period is over, its least
    expected billed seconds with lateness at this price) pairs.

    The later the start, the likelier is a photo late. One or two more machines may be started
    because the first may boot slowly, at any later time; one is not billed when the first is up
    while that one is pending.
    """
    rng = random.Random(0)  # noqa: S311  no secret
    boots = sorted(boot_seconds(environment, rng) for _ in range(SAMPLES))
    pending = environment.pending[1]

    def longer(seconds: float) -> float:
        return 1 - bisect_right(boots, seconds) / SAMPLES

    def cost(left: float, *later: float) -> float:
        late = math.prod(longer(left - s) for s in (0.0, *later))
        return LEAST_BILLED * (1 + sum(longer(s + pending) for s in later)) + price * late

    found = []
    for delay in range(0, int(environment.slo - environment.boot[0]) + 1, DELAY_STEP):
        left = environment.slo - environment.service - delay
        times = range(0, int(left), DELAY_STEP)
        pairs = [cost(left, s, t) for s in times for t in times if s <= t]
        least = min(cost(left), *(cost(left, s) for s in times), *pairs)
        found.append((delay + DELAY_STEP + pending + LEAST_BILLED, least))
    return tuple(found)


def best_hold(arrivals: Sequence[float], environment: Environment, risk: float = 0.01) -> float:
    """Billed seconds of the best fixed keep-alive time in hindsight, work not counted.

    For pauses that are independent of each other no rule without foresight is better on average
    than a fixed time. A cold start takes two machines when a single one would be late in more than
    ``risk`` of all, and boots take their mean.
    """
    rng = random.Random(0)  # noqa: S311  no secret
    latest = environment.slo - environment.service
    slow = sum(boot_seconds(environment, rng) > latest for _ in range(SAMPLES))
    machines = 2 if slow > risk * SAMPLES else 1
    holds = (0.0, *(5.0 * 1.2**n for n in range(30)))
    return min(_held(arrivals, environment, hold, machines) for hold in holds)


def _held(arrivals: Sequence[float], environment: Environment, hold: float, machines: int) -> float:
    billed, begin, end = 0.0, 0.0, -1.0
    pending = sum(environment.pending) / 2
    for at in arrivals:
        if at > end:
            billed += end - begin if end > 0 else 0.0
            billed += (machines - 1) * LEAST_BILLED
            begin, needed = at + pending, at + environment.boot_mean
        else:
            needed = max(needed, at)
        end = max(needed + hold, begin + LEAST_BILLED)
    return billed + end - begin
