"""Estimates for the scaling formula, learned from the past: service time and boot time."""

import json
import math
from dataclasses import asdict, dataclass, replace
from statistics import pstdev
from typing import ClassVar, Self

from pydantic import ConfigDict, PositiveFloat, PositiveInt, TypeAdapter

from autoscale.model import ScalingLimits

NAME = "learned.json"
KEPT = 20
"""Observations that count."""
ENOUGH = 5
"""Boots after which the assumption that none takes longer than usual is dropped."""
TAIL = 2.3
"""Standard deviations above the mean that one boot in a hundred exceeds, if they are normal."""
LEAST_WORST = 30.0
"""Seconds below which no boot is given up on the strength of faster ones."""
MOST_WORST = 600.0
SATURATED = 2.0
"""Tasks waiting per process from which on all processes are taken as busy."""
LEAST_ANSWERS = 5
LONGEST_WINDOW = 20.0


@dataclass(frozen=True)
class Estimates:
    """Observations, newest last. Kept in the state bucket, so that a restart knows them.

    Checked where they are read, not at each observation.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(allow_inf_nan=False)

    boots: tuple[PositiveFloat, ...] = ()
    """Seconds from the request for a machine to the first answer of its worker."""
    services: tuple[PositiveFloat, ...] = ()
    """Seconds of one process per task, of times in which all processes were busy."""
    processes: PositiveInt | None = None
    given_up: float = 0.0
    """The longest boot that was given up: it may only have been slow."""

    def applied_to(self, limits: ScalingLimits) -> ScalingLimits:
        """``limits`` with what has been learned in the place of what was assumed."""
        processes = self.processes or limits.processes
        service = limits.service
        if self.services:
            service = _up(sum(self.services) / len(self.services), 0.005)
        boot, worst = self._boot(limits)
        return replace(limits, processes=processes, service=service, boot=boot, boot_worst=worst)

    def _boot(self, limits: ScalingLimits) -> tuple[float, float]:
        """(mean, worst)"""
        if not self.boots:
            return limits.boot, max(limits.boot_worst, self.given_up)
        mean = _up(sum(self.boots) / len(self.boots), 0.5)
        worst = max(*self.boots, mean + TAIL * pstdev(self.boots))
        if len(self.boots) < ENOUGH:
            worst *= 1.5
        return mean, max(LEAST_WORST, _up(worst, 1.0), self.given_up)

    def booted(self, seconds: float) -> Self:
        """With one more boot that succeeded."""
        return replace(self, boots=(*self.boots, round(seconds, 3))[-KEPT:], given_up=0.0)

    def gave_up(self, seconds: float) -> Self:
        """With a boot that was given up: the next one is given half as much again."""
        return replace(self, given_up=min(MOST_WORST, max(self.given_up, seconds)))

    def served(self, seconds: float) -> Self:
        """With one more service time."""
        return replace(self, services=(*self.services, round(seconds, 4))[-KEPT:])

    def with_processes(self, processes: int) -> Self:
        return replace(self, processes=processes)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises :class:`ValueError` for what :meth:`to_json` could not have made."""
        return _estimates.validate_json(data)  # type: ignore[return-value]


_estimates = TypeAdapter(Estimates)


@dataclass(frozen=True)
class _BusyPeriod:
    at: float
    answered: int
    up: int


class ServiceTimeMeter:
    """Measures service times while every process is busy: waiting tasks per answered task."""

    def __init__(self) -> None:
        self._begin: _BusyPeriod | None = None

    def look(
        self, now: float, answered: int | None, waiting: int, up: int, processes: int
    ) -> float | None:
        """Seconds of one process per task since the busy time began, or none yet.

        ``answered`` is the web tier's total, ``up`` the machines that serve.
        """
        busy = answered is not None and up > 0 and waiting >= SATURATED * processes * up
        if not busy or answered is None:
            self._begin = None
            return None
        begin = self._begin
        if begin is None or begin.up != up or answered < begin.answered:
            self._begin = _BusyPeriod(now, answered, up)
            return None
        done, seconds = answered - begin.answered, now - begin.at
        if done < LEAST_ANSWERS and seconds < LONGEST_WINDOW:
            return None
        self._begin = _BusyPeriod(now, answered, up)
        return processes * up * seconds / max(1, done)


def _up(value: float, step: float) -> float:
    return math.ceil(value / step - 1e-9) * step
