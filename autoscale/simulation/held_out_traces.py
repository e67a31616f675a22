"""Traffic that no constant of the controller was chosen on: to see whether it does well elsewhere.

Whoever tunes the controller leaves these alone, and the seeds from :data:`HELD_OUT_SEED` on.
"""

import random
from collections.abc import Callable

from autoscale.simulation.traces import Trace, poisson

HELD_OUT_SEED = 100
"""Seeds from here on are held out on every trace."""


def sawtooth(rng: random.Random) -> Trace:
    """Up to 15 a second within five minutes, then a minute of nothing, for an hour."""
    return poisson(lambda t: 15 * (t % 360) / 300 if t % 360 < 300 else 0.0, 3600, 15, rng)


def office_days(rng: random.Random) -> Trace:
    """Two days of an hour each: a third of it worked, with a pause at noon, nights nearly empty."""

    def rate(t: float) -> float:
        hour = t % 3600 / 150
        if 9 <= hour < 12 or 13 <= hour < 17:
            return 8.0
        return 2.0 if 12 <= hour < 13 else 0.05

    return poisson(rate, 7200, 8, rng)


def geometric_groups(rng: random.Random) -> Trace:
    """Groups of 20 on average at random times, three minutes apart on average, for two hours."""
    now, arrivals = 5.0, Trace()
    while now < 7200:
        count = 1
        while rng.random() < 0.95:
            count += 1
        arrivals += [now + rng.uniform(0, 2) for _ in range(count)]
        now += rng.expovariate(1 / 180)
    return sorted(arrivals)


def timer_and_background(rng: random.Random) -> Trace:
    """A batch of 120 every ten minutes over one photo in five seconds, for two hours."""
    background = poisson(lambda _: 0.2, 7200, 0.2, rng)
    batches = [600.0 * n + rng.uniform(0, 3) for n in range(1, 12) for _ in range(120)]
    return sorted([*background, *batches])


def lone_photos(rng: random.Random) -> Trace:
    """Single photos after pauses of log-normal length, a minute in the median, for two hours."""
    now, arrivals = 5.0, Trace()
    while now < 7200:
        arrivals.append(now)
        now += rng.lognormvariate(4.1, 1.3)
    return arrivals


HELD_OUT: dict[str, Callable[[random.Random], Trace]] = {
    "sawtooth": sawtooth,
    "office-days": office_days,
    "geometric-groups": geometric_groups,
    "timer-background": timer_and_background,
    "lone-photos": lone_photos,
}
