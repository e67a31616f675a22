"""Updates the estimates while the controller runs, and stores them in the state bucket."""

import logging

from autoscale.estimates import NAME, Estimates, ServiceTimeMeter
from autoscale.saturation import SaturationMonitor
from autoscale.state import StateStore

logger = logging.getLogger(__name__)

KEEP_EVERY = 60.0
ASSUMED_PROCESSES = 2
TOGETHER = 2.0
"""Seconds between two looks of the controller at its machines."""


class Estimator:
    """Boot and service times of this system, from earlier runs and from this one."""

    def __init__(self) -> None:
        self._watch = ServiceTimeMeter()
        self._saturation = SaturationMonitor()
        self._booted: dict[str, float] = {}
        self._batch: list[tuple[float, float]] = []
        self._answered: int | None = None
        self._stored = self.estimates = Estimates()
        self._kept_at = float("-inf")

    def recover(self, state: StateStore) -> None:
        """What an earlier controller has learned. Raises :class:`AwsError`."""
        found = state.find(NAME)
        if found is None:
            return
        try:
            self.estimates = self._stored = Estimates.from_json(found.data)
        except ValueError as error:
            logger.warning("beginning to learn anew: %s", error)

    def keep(self, state: StateStore, now: float) -> None:
        """Stores what is new, once a minute. Raises :class:`AwsError`."""
        if self.estimates != self._stored and now - self._kept_at >= KEEP_EVERY:
            self._kept_at = now
            state.put(NAME, self.estimates.to_json())
            self._stored = self.estimates

    def booted(self, machine: str, seconds: float | None, since: float) -> None:
        """A machine that was started at ``since`` is up; the same boot counts once.

        Machines that were started together and came up together are one observation.
        """
        if seconds is None or seconds <= 0 or self._booted.get(machine) == seconds:
            return
        self._booted[machine] = seconds
        alike = any(
            abs(since - at) < TOGETHER and abs(seconds - other) < TOGETHER
            for at, other in self._batch
        )
        self._batch = [*self._batch[-50:], (since, seconds)]
        if not alike:
            self.estimates = self.estimates.booted(seconds)

    def useful(self, now: float) -> int | None:
        """Machines beyond which no more work was done lately; None: not seen."""
        return self._saturation.useful(now)

    def gave_up(self, seconds: float) -> None:
        """A boot was given up after so long."""
        self.estimates = self.estimates.gave_up(seconds)

    def served(
        self, now: float, answered: int | None, waiting: int, up: int, processes: int | None
    ) -> bool:
        """What was answered by now; returns whether tasks were answered since the last time."""
        if processes and processes != self.estimates.processes:
            self.estimates = self.estimates.with_processes(processes)
        each = self.estimates.processes or ASSUMED_PROCESSES
        seconds = self._watch.look(now, answered, waiting, up, each)
        if seconds is not None:
            self._saturation.measured(now, up, each * up / seconds)
            useful = self.useful(now)
            if useful is None or up <= useful:  # beyond, a shared bottleneck is measured
                self.estimates = self.estimates.served(seconds)
        before, self._answered = self._answered, answered
        return answered is not None and before is not None and answered > before
