"""A proven lower bound on the billed seconds of any policy that meets the objective."""

import math
from collections.abc import Sequence

from autoscale.keep_alive import LEAST_BILLED
from autoscale.simulation.environment import Environment

APART = 120.0
"""Arrivals further apart than this beyond the objective belong to separate clusters."""


def lower_bound(arrivals: Sequence[float], environment: Environment) -> float:
    """Billed seconds below which no policy can stay.

    Every interval [arrival, arrival + objective] must meet a running period, and each period costs
    max(60, its length): the cheapest such set of periods, by dynamic programming, is a bound. So
    is the work itself. Clusters of arrivals that no period can serve both of may be added up; for
    each the larger of the two bounds holds.
    """
    total = 0.0
    for cluster in _clusters(arrivals, environment.slo):
        work = len(cluster) * environment.service / environment.processes
        total += max(_stabbing(cluster, environment), work)
    return total


def _clusters(arrivals: Sequence[float], slo: float) -> list[list[float]]:
    clusters: list[list[float]] = []
    for at in arrivals:
        if not clusters or at - clusters[-1][-1] > APART + slo:
            clusters.append([])
        clusters[-1].append(at)
    return clusters


def _stabbing(arrivals: Sequence[float], environment: Environment) -> float:
    """Least cost of periods that meet every interval; capacity is left out of account.

    ``begun[i]``: least further cost when arrivals from i on are not covered and nothing runs.
    ``running[i]``: the same when a period runs that has just covered arrival i.
    """
    unserved = max(0.0, environment.boot[0] - environment.pending[1])
    """Seconds of a first period that are billed at least but cannot serve: it boots."""
    n = j = len(arrivals)
    begun, running = [0.0] * (n + 1), [0.0] * (n + 1)
    for i in range(n - 1, -1, -1):
        if i < n - 1:
            longer = arrivals[i + 1] - arrivals[i] + running[i + 1]
            running[i] = min(longer, begun[i + 1])
        reach = arrivals[i] + environment.slo + LEAST_BILLED - unserved
        while j > i + 1 and arrivals[j - 1] > reach:
            j -= 1
        further = math.inf if j == n else arrivals[j] - reach + running[j]
        begun[i] = LEAST_BILLED + (0.0 if j == n else min(further, begun[j]))
    return begun[0]
