"""What no controller can stay below that does not know when photos come, starting from nothing."""

import random
from collections.abc import Sequence

from autoscale.simulation.environment import LEAST_BILLED, Environment, boot_seconds

SAMPLES = 2000
MOST_MACHINES = 40


def burst_bound(photos: int, environment: Environment, risk: float = 0.01) -> float:
    """Expected billed seconds for a burst while nothing runs, late in at most ``risk`` of bursts.

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
