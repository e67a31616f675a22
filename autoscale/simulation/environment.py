"""How simulated machines, tasks and readings behave."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

BOOT_SPREAD = 0.30
"""Sigma of the logarithm of a boot's time."""
VIDEO_TAIL, LONGEST_VIDEO = 1.3, 900.0


@dataclass(frozen=True)
class SimulatedTask:
    """One photo or video."""

    arrived: float
    seconds: float
    """Of one process."""
    video: bool = False


@dataclass(frozen=True)
class Environment:
    """How the simulated machines and readings behave. Seconds."""

    cap: int = 15
    processes: int = 2
    service: float = 0.5
    service_spread: float = 0.29
    """Sigma of the logarithm of a task's time."""
    slo: float = 60.0
    boot: tuple[float, float] = (20.0, 60.0)
    """Shortest and longest time from the request to the first poll."""
    boot_median: float = 35.0
    pending: tuple[float, float] = (5.0, 10.0)
    """The part of it that is not billed."""
    stopping: tuple[float, float] = (30.0, 90.0)
    keeps_stopped: bool = True
    """``stop`` mode: a machine that was stopped can be started again."""
    failing_boots: float = 0.0
    """Share of boots that never come up."""
    stale_counts: bool = True
    """Counts as late and as partial as SQS has been seen to give them."""
    requests_known: bool = True
    """Whether the web tier's exact requests in flight can be read."""
    visibility: float = 30.0
    new_image_at: float = math.inf
    """When an image is baked: machines launched before are outdated from then on."""
    service_drift: float = 1.0
    """How many times as long a task takes after ``drift_seconds`` as at the beginning."""
    boot_drift: float = 1.0
    """The same of boots."""
    drift_seconds: float = 3600.0
    videos: float = 0.0
    """Share of the arrivals that are videos: they have no objective."""
    video_seconds: float = 30.0
    """Least seconds of one process for a video; Pareto-distributed, exponent 1.3, at most 900."""
    video_slice: float = 30.0
    """Seconds after which a video goes back to the queue and goes on later."""

    def drifted(self, factor: float, now: float) -> float:
        """What a time that drifts is to be multiplied by at ``now``."""
        return 1 + (factor - 1) * min(1.0, now / self.drift_seconds)

    @property
    def boot_mean(self) -> float:
        return self.boot_median * 1.045  # of the truncated log-normal below

    @property
    def boot_worst(self) -> float:
        return self.boot[1]


def boot_seconds(environment: Environment, rng: random.Random, now: float = 0.0) -> float:
    """Seconds of one boot that begins at ``now``."""
    low, high = environment.boot
    boot = rng.lognormvariate(math.log(environment.boot_median), BOOT_SPREAD)
    return min(high, max(low, boot)) * environment.drifted(environment.boot_drift, now)


def tasks_of(
    arrivals: Sequence[float], environment: Environment, rng: random.Random
) -> list[SimulatedTask]:
    """A task for each arrival; with ``random.Random(seed)`` those of the run with that seed."""
    return [_task(at, environment, rng) for at in arrivals]


def _task(at: float, environment: Environment, rng: random.Random) -> SimulatedTask:
    mean = math.log(environment.service) - environment.service_spread**2 / 2
    seconds = max(0.01, rng.lognormvariate(mean, environment.service_spread))
    if environment.videos and rng.random() < environment.videos:
        seconds = min(LONGEST_VIDEO, environment.video_seconds * rng.paretovariate(VIDEO_TAIL))
        return SimulatedTask(at, seconds, video=True)
    return SimulatedTask(at, seconds * environment.drifted(environment.service_drift, at))
