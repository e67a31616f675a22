"""What came at this time of the day before: kept in the state bucket, to be ready for it.

Arrivals are remembered by the minute for two weeks. A minute is expected to be busy when two days
agree: a week ago and two weeks ago, a week ago and yesterday, or, while no week is known, yesterday
and the day before. Workdays say nothing of weekends (UTC). A minute later is the same. For
photos that one machine started for them could not do in time, machines are started one boot
beforehand, as many as do them in time: no more than would be started for them.
"""

import json
import logging
import math
from collections.abc import Mapping

from autoscale.formula import ready_after
from autoscale.model import ScalingLimits
from autoscale.state import StateStore

logger = logging.getLogger(__name__)

NAME = "arrivals-by-minute.json"
MINUTE, DAY, WEEK = 60, 1440, 10080
"""Seconds; minutes; minutes."""
KEPT = 2 * WEEK
KEEP_EVERY = 600.0
WARM_SHARE = 0.8
"""Of the objective: the time in which what comes is to be done."""
FEWEST = 10
"""Photos a minute below which nothing is started beforehand."""


class Seasonality:
    """Arrivals of the last eight days by the minute."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._since: int | None = None
        self._total: float | None = None
        self._kept_at = float("-inf")
        self._changed = False

    def recover(self, state: StateStore) -> None:
        """What an earlier controller has counted. Raises :class:`AwsError`."""
        found = state.find(NAME)
        if found is None:
            return
        try:
            fields = json.loads(found.data)
            self._since = int(fields["since"])
            self._counts = {int(minute): int(n) for minute, n in fields["counts"].items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning("counting arrivals anew: %s", error)

    def keep(self, state: StateStore, now: float) -> None:
        """Stores what is new, every ten minutes. Raises :class:`AwsError`."""
        if self._changed and now - self._kept_at >= KEEP_EVERY:
            self._kept_at = now
            fields: Mapping[str, object] = {"since": self._since, "counts": self._counts}
            state.put(NAME, json.dumps(fields).encode())
            self._changed = False

    def observe(self, now: float, accepted: float) -> None:
        """``accepted``: arrivals until now; a total that falls begins anew."""
        minute = int(now // MINUTE)
        self._since = minute if self._since is None else self._since
        new = int(accepted - self._total) if self._total is not None else 0
        self._total = accepted
        if new > 0:
            if minute not in self._counts:
                oldest = minute - KEPT - 1
                self._counts = {m: n for m, n in self._counts.items() if m >= oldest}
            self._counts[minute] = self._counts.get(minute, 0) + new
            self._changed = True

    def expected(self, now: float, within: float) -> int:
        """Photos of the busiest minute that begins or goes on in ``within`` seconds; 0 when half
        of them have come in the last minutes: what came is no expectation any more."""
        first, last = int(now // MINUTE), int((now + within) // MINUTE)
        photos = max(self._expected_in(minute) for minute in range(first, last + 1))
        came = sum(self._counts.get(minute, 0) for minute in range(first - 2, first + 1))
        return 0 if 2 * came >= photos else photos

    def _expected_in(self, minute: int) -> int:
        week = self._around(minute - WEEK)
        yesterday = self._around(minute - DAY) if _alike(minute, minute - DAY) else 0
        if self._since is not None and minute - self._since >= WEEK:
            return min(week, max(yesterday, self._around(minute - 2 * WEEK)))
        before = self._around(minute - 2 * DAY) if _alike(minute, minute - 2 * DAY) else 0
        return min(yesterday, before)

    def _around(self, minute: int) -> int:
        return max(self._counts.get(m, 0) for m in (minute - 1, minute))

    def machines(self, now: float, limits: ScalingLimits) -> tuple[int, int]:
        """(machines to have ready, photos that are expected)"""
        if limits.profile.name != "slo":
            return 0, 0
        lead = ready_after(limits.boot, 1)
        photos = self.expected(now, lead)
        if photos < max(FEWEST, limits.rate * (limits.slo - lead)):
            return 0, 0
        return math.ceil(photos / (WARM_SHARE * limits.rate * limits.slo)), photos


def _alike(minute: int, other: int) -> bool:
    """Whether both are of workdays, or both of weekends. The epoch began on a Thursday."""
    weekend, of_other = ((m // DAY + 3) % 7 >= 5 for m in (minute, other))
    return weekend == of_other
