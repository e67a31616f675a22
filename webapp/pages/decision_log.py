"""Today's decisions of the controller: each object read once, the newest again."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from facerec_tasks.control_schemas import Decision, read_decisions
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

AT_ONCE = 12
"""Objects read in one go, newest first: the morning's are added while somebody already watches."""
KEPT = 1200.0
"""Seconds whose steps are all kept; of older ones those that changed something, and the cost."""
LONGEST_STEP = 60.0
"""Seconds of one step that are counted; in a longer gap nobody looked."""
LEAST_BILLED = 60.0
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html"""


@dataclass(frozen=True)
class _Chunk:
    """What is remembered of one object."""

    etag: str
    steps: tuple[Decision, ...]
    first: float
    last: float
    last_running: int
    billed: float


class DecisionHistory:
    """For one thread."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state
        self._chunks: dict[str, _Chunk] = {}
        self.complete = False
        """Whether all of today has been read."""

    def refresh(self, now: float) -> None:
        """Reads what is new; raises :class:`facerec_tasks.errors.AwsError`."""
        today = datetime.fromtimestamp(now, UTC)
        days = {f"{day:%Y-%m-%d}/" for day in (today, today - timedelta(seconds=KEPT))}
        listed = {
            e.name: e.etag
            for day in sorted(days)
            for e in self._state.list(layout.CONTROLLER_DECISIONS + day)
        }
        self._chunks = {name: chunk for name, chunk in self._chunks.items() if name in listed}
        known = {name: chunk.etag for name, chunk in self._chunks.items()}
        fresh = sorted((name for name in listed if listed[name] != known.get(name)), reverse=True)
        for name in fresh[:AT_ONCE]:
            self._read(name, now)
        self.complete = len(fresh) <= AT_ONCE

    def _read(self, name: str, now: float) -> None:
        stored = self._state.find(name)
        steps = tuple(read_decisions(stored.data)) if stored else ()
        if stored is None or not steps:
            return
        kept = steps
        if steps[-1].at < now - KEPT:
            kept = tuple(step for step in steps if step.changes)
        last = steps[-1]
        self._chunks[name] = _Chunk(
            etag=stored.etag,
            steps=kept,
            first=steps[0].at,
            last=last.at,
            last_running=last.machines.get("running", 0),
            billed=billed(steps),
        )

    def steps(self, since: float) -> list[Decision]:
        """The steps since then, oldest first."""
        found = (step for chunk in self._chunks.values() for step in chunk.steps)
        return sorted((step for step in found if step.at >= since), key=lambda step: step.at)

    def changes(self, count: int) -> list[Decision]:
        """The latest steps that changed something, oldest first."""
        found = (step for chunk in self._chunks.values() for step in chunk.steps if step.changes)
        return sorted(found, key=lambda step: step.at)[-count:]

    def billed_today(self, now: float) -> float:
        """Instance-seconds of the objects begun since midnight UTC; periods count 60 s at least."""
        midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0).timestamp()
        chunks = sorted(
            (chunk for chunk in self._chunks.values() if chunk.first >= midnight),
            key=lambda chunk: chunk.first,
        )
        between = sum(
            a.last_running * max(0.0, min(b.first - a.last, LONGEST_STEP))
            for a, b in pairwise(chunks)
        )
        return between + sum(chunk.billed for chunk in chunks)


def billed(steps: tuple[Decision, ...]) -> float:
    """Instance-seconds billed from the first to the last of these steps."""
    running = sum(
        a.machines.get("running", 0) * max(0.0, min(b.at - a.at, LONGEST_STEP))
        for a, b in pairwise(steps)
    )
    minimum = sum(
        max(0.0, LEAST_BILLED - seconds) for step in steps for seconds in step.ran.values()
    )
    return running + minimum
