"""How long a machine is kept that is not needed now: ski rental with learned gaps.

Keeping costs a second for each second; stopping costs the boot and the rest of the minute that EC2
bills at least, once the machine is needed again. Each level of the fleet (the first machine, the
second, …) remembers the gaps in which it was not needed, and is kept for the time that would have
cost least over those gaps. Until some were seen, gaps are taken as Pareto-distributed, as between
calls of cloud functions (Shahrad et al., "Serverless in the Wild", USENIX ATC 2020). Background:
Karlin et al., "Competitive randomized algorithms for nonuniform problems", Algorithmica 1994.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

PRIOR_GAPS = (9.0, 12.0, 17.0, 30.0, 66.0, 220.0, 1300.0)
"""Seconds; quantiles of a Pareto distribution with exponent 0.9 from 8 s."""
KEPT_GAPS = 24
LEAST_HOLD = 10.0
"""Seconds a machine is kept at least."""
LEAST_GAP = 6.0
"""Seconds; what is shorter is noise between two steps."""
LEAST_BILLED = 60.0
"""https://aws.amazon.com/ec2/pricing/: per second, at least 60 s a running period."""
BILLED_BOOT = 0.8
"""Share of a boot that is billed: the rest is ``pending``."""


@dataclass(frozen=True)
class Level:
    """When one level of the fleet was needed. Unix seconds."""

    needed: float
    """The last time."""
    since: float
    """When that run of need began."""
    gaps: tuple[float, ...] = ()
    """Lengths of the pauses in which it was not needed, oldest first."""
    run: float = 30.0
    """Mean length of the runs in which it was."""

    def seen(self, now: float) -> "Level":
        """Needed now."""
        gap = now - self.needed
        if gap < LEAST_GAP:
            return replace(self, needed=now)
        run = 0.7 * self.run + 0.3 * (self.needed - self.since)
        gaps = (*self.gaps, round(gap, 1))[-KEPT_GAPS:]
        return Level(now, now, gaps, run)


def observe(levels: Sequence[Level], needed: int, now: float) -> tuple[Level, ...]:
    """The history of every level after a step in which ``needed`` machines were."""
    known = [level.seen(now) if i < needed else level for i, level in enumerate(levels)]
    return (*known, *(Level(now, now) for _ in range(needed - len(known))))


def restart_cost(run: float, boot: float, machines: int = 1) -> float:
    """Billed seconds of starting a machine again, beyond the ``run`` seconds it is needed for.

    ``machines``: how many are started for it, when one that boots slowly would be late.
    """
    first = max(LEAST_BILLED, BILLED_BOOT * boot + run) - run
    return max(0.0, first) + (machines - 1) * LEAST_BILLED


def hold(gaps: Sequence[float], restart: float) -> float:
    """Seconds of keeping that cost least over these gaps and the assumed ones."""
    known = (*PRIOR_GAPS, *gaps)

    def cost(seconds: float) -> float:
        return sum(g if g <= seconds else seconds + restart for g in known)

    return min((LEAST_HOLD, *(g for g in known if g > LEAST_HOLD)), key=cost)
