"""Traffic to try a policy on: arrival times in seconds, made from a seed or from a decision log."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from autoscale.decisions import Decision

Trace = list[float]
"""Arrival times in seconds, ascending."""


def poisson(
    rate: Callable[[float], float], seconds: float, peak: float, rng: random.Random
) -> Trace:
    """A Poisson process whose rate changes, by thinning; ``rate`` never exceeds ``peak``."""
    now, arrivals = 0.0, Trace()
    while True:
        now += rng.expovariate(peak)
        if now > seconds:
            return arrivals
        if rng.random() * peak < rate(now):
            arrivals.append(now)


def burst(rng: random.Random, tasks: int = 100, begin: float = 10.0) -> Trace:
    """``tasks`` photos at once, as one client sends them: within 1.5 s."""
    return sorted(begin + rng.uniform(0, 1.5) for _ in range(tasks))


def two_bursts(rng: random.Random) -> Trace:
    """A second burst 20 s after the first, while the machines for that one boot."""
    return [*burst(rng), *burst(rng, begin=30.0)]


def ramp(rng: random.Random) -> Trace:
    """Half an hour up to 30 a second and down again."""
    return poisson(lambda t: 0.5 + 30 * (1 - abs(t - 900) / 900), 1800, 31, rng)


def diurnal(rng: random.Random) -> Trace:
    """Days of one hour, peaks of 12 a second, nights of none."""
    return poisson(lambda t: 12 * max(0.0, math.sin(math.tau * t / 3600)) ** 2, 7200, 12, rng)


def flash(rng: random.Random) -> Trace:
    """One a second, then suddenly 41 a second for two minutes, fading."""

    def rate(t: float) -> float:
        if t < 600:
            return 1
        return 41 if t < 720 else 1 + 40 * math.exp(-(t - 720) / 120)

    return poisson(rate, 1800, 41, rng)


def heavy_tail(rng: random.Random) -> Trace:
    """Groups of any size after pauses of any length, as functions are called in the cloud: 3 h.

    Pareto exponents after Shahrad et al., "Serverless in the Wild", USENIX ATC 2020.
    """
    now, arrivals = 5.0, []
    while now < 10800:
        now += min(1200, 8 * rng.paretovariate(0.9))
        group = min(400, int(rng.paretovariate(0.8)))
        arrivals += [now + rng.uniform(0, 1 + group / 40) for _ in range(group)]
    return sorted(arrivals)


def azure_functions(rng: random.Random) -> Trace:
    """Two hours of many functions on timers of 1 to 30 minutes, each call a small batch.

    Periods and batch sizes after Shahrad et al., "Serverless in the Wild", USENIX ATC 2020.
    """
    arrivals = Trace()
    for _ in range(24):
        period = rng.choice((60, 60, 300, 300, 600, 900, 1800))
        size, now = rng.lognormvariate(0.7, 1.0), rng.uniform(0, period)
        while now < 7200:
            count = 1 + int(rng.expovariate(1 / size))
            arrivals += [now + rng.uniform(0, 5) for _ in range(count)]
            now += period * rng.uniform(0.97, 1.03)
    return sorted(arrivals)


def wikipedia(rng: random.Random) -> Trace:
    """A week of visits, each day in 15 minutes: nights at a third, weekends lower.

    Shape after Urdaneta et al., "Wikipedia workload analysis", Computer Networks 2009.
    """
    day = 900.0

    def rate(t: float) -> float:
        weekend = 0.8 if t // day >= 5 else 1.0
        return 8 * weekend * (0.66 - 0.34 * math.cos(math.tau * t / day))

    return poisson(rate, 7 * day, 8, rng)


def nasa(rng: random.Random) -> Trace:
    """Two hours of light traffic whose level wanders, as in NASA's HTTP log of July 1995.

    https://ita.ee.lbl.gov/html/contrib/NASA-HTTP.html
    """
    levels, level = [], 0.0
    for _ in range(121):
        level = 0.95 * level + rng.gauss(0, 0.2)
        levels.append(min(6.0, 0.8 * math.exp(level)))
    return poisson(lambda t: levels[int(t // 60)], 7200, 6.0, rng)


def batches(rng: random.Random) -> Trace:
    """Batches of log-normal size at random times for two hours, as in Alibaba's cluster traces.

    https://github.com/alibaba/clusterdata
    """
    now, arrivals = 5.0, Trace()
    while now < 7200:
        size = min(800, 1 + int(rng.lognormvariate(3.8, 1.1)))
        arrivals += [now + rng.uniform(0, 3) for _ in range(size)]
        now += rng.expovariate(1 / 160)
    return sorted(arrivals)


def on_off(rng: random.Random) -> Trace:
    """An hour of 20 sources that are on and off for Pareto times: self-similar in sum.

    Willinger et al., "Self-similarity through high-variability", IEEE/ACM ToN 1997.
    """
    arrivals = Trace()
    for _ in range(20):
        now, on = rng.uniform(-60, 0), rng.random() < 0.5
        while now < 3600:
            length = min(900.0, 15 * rng.paretovariate(1.4))
            if on:
                arrivals += [now + t for t in poisson(lambda _: 0.8, length, 0.8, rng)]
            now, on = now + length, not on
    return sorted(t for t in arrivals if 0 <= t < 3600)


def square_wave(on: float, off: float, rate: float) -> Callable[[random.Random], Trace]:
    """An hour of ``on`` seconds at ``rate``, ``off`` seconds of nothing."""

    def trace(rng: random.Random) -> Trace:
        return poisson(lambda t: rate if t % (on + off) < on else 0.0, 3600, rate, rng)

    return trace


def lull(rng: random.Random) -> Trace:
    """Single photos five minutes apart, for two hours."""
    return [5 + 300 * n + rng.uniform(-60, 60) for n in range(1, 24)]


def step_up(rng: random.Random) -> Trace:
    """A hundred times the rate from one second to the next, for 20 minutes: 0.3 to 30 a second."""
    return poisson(lambda t: 30.0 if 600 <= t < 1800 else 0.3, 3000, 30.0, rng)


def steady(rng: random.Random) -> Trace:
    """Six photos a second for an hour."""
    return poisson(lambda _: 6.0, 3600, 6.0, rng)


def regular_bursts(rng: random.Random) -> Trace:
    """60 photos at once, every five minutes, for two hours."""
    return [t for n in range(24) for t in burst(rng, 60, 10.0 + 300 * n)]


def week(rng: random.Random, days: int = 8) -> Trace:
    """Real days from a Thursday on: on workdays 200 photos at nine and 120 at half past one, to
    within half a minute, and a single photo every four hours."""
    arrivals = poisson(lambda _: 1 / 14400, days * 86400.0, 1 / 14400, rng)
    for day in range(days):
        for hour, count in ((9.0, 200), (13.5, 120)) if (day + 3) % 7 < 5 else ():
            begin = day * 86400 + hour * 3600 + rng.uniform(-30, 30)
            arrivals += [begin + rng.uniform(0, 20) for _ in range(count)]
    return sorted(arrivals)


TRACES: dict[str, Callable[[random.Random], Trace]] = {
    "burst": burst,
    "two-bursts": two_bursts,
    "ramp": ramp,
    "diurnal": diurnal,
    "flash": flash,
    "heavy-tail": heavy_tail,
    "azure-functions": azure_functions,
    "wikipedia": wikipedia,
    "nasa": nasa,
    "batches": batches,
    "on-off": on_off,
    "square-80": square_wave(40, 40, 12),
    "square-120": square_wave(20, 100, 20),
    "lull": lull,
    "step-100x": step_up,
    "steady": steady,
    "regular-bursts": regular_bursts,
}


def recorded(decisions: Iterable[Decision]) -> Trace:
    """The arrivals a controller has seen, even between two steps, beginning at 10 s.

    What waits in the first step has arrived with it.
    A total that falls belongs to another run of the controller and begins anew. What gathered in
    a rest came at its end: that is what ended it.
    """
    steps = [d for d in decisions if d.accepted is not None]
    arrivals: Trace = [steps[0].at] * (steps[0].waiting or 0) if steps else []
    for before, after in pairwise(steps):
        arrivals += _between(before, after)
    return _from(arrivals, 10.0)


def _between(before: Decision, after: Decision) -> Trace:
    assert before.accepted is not None
    assert after.accepted is not None
    new = int(after.accepted - before.accepted)
    if new <= 0:
        return []
    begin = max(before.at, after.at - 2.0)
    return [begin + (after.at - begin) * (i + 0.5) / new for i in range(new)]


def _from(arrivals: Sequence[float], begin: float) -> Trace:
    return [t - arrivals[0] + begin for t in sorted(arrivals)] if arrivals else []
