"""Whether more machines have got more work done.

Workers that share a bottleneck (a throttled bucket, one gallery, the cores of one host) become
slower with every machine. A formula that reads this as a longer service time asks for more
machines still.
"""

from dataclasses import dataclass

FRESH = 600.0
"""Seconds for which a throughput is believed; then more machines are tried again."""
ENOUGH = 3
"""Measurements of each number of machines."""
MORE = 1.5
"""Times as many machines …"""
GAIN = 1.15
"""… that must do at least this many times the work."""


@dataclass(frozen=True)
class _Throughput:
    at: float
    tasks_per_second: float
    measurements: int


class SaturationMonitor:
    """Throughput by number of machines, while all of them are busy."""

    def __init__(self) -> None:
        self._seen: dict[int, _Throughput] = {}

    def measured(self, now: float, machines: int, tasks_per_second: float) -> None:
        old = self._seen.get(machines)
        if old is None or now - old.at > FRESH:
            self._seen[machines] = _Throughput(now, tasks_per_second, 1)
            return
        mean = (old.tasks_per_second + tasks_per_second) / 2
        self._seen[machines] = _Throughput(now, mean, old.measurements + 1)

    def useful(self, now: float) -> int | None:
        """Machines beyond which no more work was done; None while that was not seen."""
        sure = {
            n: t.tasks_per_second
            for n, t in self._seen.items()
            if now - t.at <= FRESH and t.measurements >= ENOUGH
        }
        for n in sorted(sure):
            more = [rate for m, rate in sure.items() if m >= MORE * n]
            if more and max(more) < GAIN * sure[n]:
                return n
        return None
