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
    """So many photos at once, as one client sends them: within 1.5 s."""
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


TRACES: dict[str, Callable[[random.Random], Trace]] = {
    "burst": burst,
    "two-bursts": two_bursts,
    "ramp": ramp,
    "diurnal": diurnal,
    "flash": flash,
    "heavy-tail": heavy_tail,
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
