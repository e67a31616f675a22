"""How much work there is: both counts of the queue, and what the web tier knows exactly.

SQS's counts are approximate and up to 40 s old. The web tier's requests in flight are exact when
every web process is counted and none is younger than the longest task, else they are a lower bound.
:func:`fuse` makes one :class:`Demand` of both; a reading that could not be had is missing, never
zero.
"""

import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from statistics import median_low

from autoscale.model import Accuracy, Demand
from facerec_tasks.aws import client, translated
from facerec_tasks.control_schemas import InFlightReport, ProcessReport
from facerec_tasks.settings import Settings

STALE = 40.0
"""Seconds a count of SQS may be old."""
CONFIRM = 3
"""Readings of which the median must show work, so that a lone phantom starts nothing."""
LEAK = 60.0
"""Seconds of zero counts after which requests that are still in flight are taken for lost."""
IN_FLIGHT_TIMEOUT = 1.0
HISTORY = 90.0


@dataclass(frozen=True)
class QueueLengths:
    """One answer of GetQueueAttributes."""

    at: float
    visible: int
    in_flight: int

    @property
    def total(self) -> int:
        return self.visible + self.in_flight


CountMessages = Callable[[float], QueueLengths]
"""The request queue's counts now. Raises :class:`facerec_tasks.errors.AwsError`."""


@dataclass(frozen=True)
class InFlightReading:
    """All web processes at one time."""

    at: float
    processes: tuple[ProcessReport, ...]

    @property
    def outstanding(self) -> int:
        return sum(p.outstanding for p in self.processes)

    @property
    def videos(self) -> int:
        return sum(p.videos for p in self.processes)

    @property
    def answered(self) -> int:
        return sum(p.answered for p in self.processes)

    @property
    def moves(self) -> tuple[int, int]:
        """(accepted, answered): equal at two times when nothing happened between them."""
        return sum(p.accepted for p in self.processes), self.answered

    @property
    def epochs(self) -> frozenset[tuple[str, str]]:
        return frozenset((p.process, p.epoch) for p in self.processes)


@dataclass(frozen=True)
class ServiceCapacity:
    """What the machines that are up do, for the arrivals that counts alone do not show."""

    processes: int = 0
    service: float = 1.0
    """Seconds of one process per task."""

    def done(self, waiting: int, seconds: float) -> float:
        """Tasks they have done in that time, when that number waits at its beginning."""
        return min(waiting, self.processes) * seconds / self.service


class RequestQueue:
    """The queue whose messages are counted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url: str | None = None

    def counts(self, now: float) -> QueueLengths:
        """Asks SQS once. Raises :class:`facerec_tasks.errors.AwsError`."""
        sqs = client(self._settings, "sqs")
        with translated():
            if self._url is None:
                self._url = sqs.get_queue_url(QueueName=self._settings.request_queue)["QueueUrl"]
            found = sqs.get_queue_attributes(
                QueueUrl=self._url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )["Attributes"]
        return QueueLengths(
            now,
            int(found["ApproximateNumberOfMessages"]),
            int(found["ApproximateNumberOfMessagesNotVisible"]),
        )


def read_in_flight(urls: Sequence[str], now: float) -> InFlightReading | None:
    """Asks every web tier once; none unless all of them answered in full."""
    processes: list[ProcessReport] = []
    for url in urls:
        try:
            processes.extend(_in_flight_of(url))
        except (OSError, ValueError, HTTPException):
            return None  # down, restarting or not ours: a missing reading, whatever the reason
    return InFlightReading(now, tuple(processes))


def _in_flight_of(url: str) -> tuple[ProcessReport, ...]:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"not a web address: {url}")
    address = url.rstrip("/") + "/internal/in-flight"
    with urllib.request.urlopen(address, timeout=IN_FLIGHT_TIMEOUT) as answer:  # noqa: S310  checked above
        return InFlightReport.from_json(answer.read()).processes


class DemandEstimator:
    """The readings of the last 90 s, and the arrivals they add up to."""

    def __init__(self, longest_task: float) -> None:
        self._longest = longest_task
        self._counts: list[QueueLengths] = []
        self._requests: list[InFlightReading] = []
        self._epochs: dict[tuple[str, str], float] = {}  # when each was last seen
        self._accepted: dict[tuple[str, str], int] = {}
        self._arrived = 0.0
        self._last: tuple[float, int] | None = None

    def take(
        self,
        counts: QueueLengths | None,
        requests: InFlightReading | None,
        now: float,
        serving: ServiceCapacity = ServiceCapacity(),
    ) -> Demand | None:
        """What the readings of this step amount to; none when there was none at all."""
        if counts is not None:
            self._counts = [c for c in self._counts if c.at > now - HISTORY] + [counts]
        if requests is not None:
            self._requests = [x for x in self._requests if x.at > now - HISTORY] + [requests]
        demand = fuse(
            [*self._counts] if counts is not None else [],
            [*self._requests] if requests is not None else [],
            exact=requests is not None and self._exact(requests, now),
        )
        if demand is None:
            return None
        self._count_arrivals(requests, demand, now, serving)
        videos = min(demand.grow, requests.videos if requests else 0)
        return replace(demand, accepted=self._arrived, videos=videos)

    def _exact(self, requests: InFlightReading, now: float) -> bool:
        """No process is young, and none that was seen within the longest task is missing."""
        self._epochs |= {epoch: now for epoch in requests.epochs}
        horizon = now - self._longest
        self._epochs = {e: seen for e, seen in self._epochs.items() if seen >= horizon}
        old = all(p.started_at < horizon for p in requests.processes)
        return bool(requests.processes) and old and self._epochs.keys() == requests.epochs

    def _count_arrivals(
        self, requests: InFlightReading | None, demand: Demand, now: float, serving: ServiceCapacity
    ) -> None:
        """What the web tier accepted; else what the backlog grew by and what was done."""
        if requests is None:
            before, waiting = self._last or (now, 0)
            done = serving.done(waiting, now - before)
            self._arrived += max(0.0, demand.grow - waiting + done)
        else:
            for p in requests.processes:
                key = (p.process, p.epoch)
                self._arrived += max(0, p.accepted - self._accepted.get(key, 0))
                self._accepted[key] = p.accepted
            self._accepted = {k: v for k, v in self._accepted.items() if k in self._epochs}
        self._last = (now, demand.grow)


def fuse(
    counts: Sequence[QueueLengths], requests: Sequence[InFlightReading], *, exact: bool
) -> Demand | None:
    """One range of both signals (`accepted` is left at 0). Both oldest first; empty is missing.

    A stale count can only show what the web tier showed within the last 40 s: a higher one is work
    that came past the web tier. A count that stays zero while the web tier's does not move says
    that those requests have ended some other way.
    """
    if not counts and not requests:
        return None
    likely, possible = _counted(counts)
    if not requests:
        return Demand(likely, possible, 0.0, "counts")
    known = requests[-1].outstanding
    bound: Accuracy = "exact" if exact else "lower"
    if known and _leaked(counts, requests):
        return Demand(0, 0, 0.0, "upper")
    if exact:
        recent = max(x.outstanding for x in requests if x.at >= requests[-1].at - STALE)
        likely = possible = likely if likely > recent else 0
    grow = max(known, likely)
    return Demand(grow, max(grow, possible), 0.0, bound, may_shrink=bool(counts))


def _counted(counts: Sequence[QueueLengths]) -> tuple[int, int]:
    """(what two of the last three readings agree on, the most that any of them shows)."""
    last = [c.total for c in counts[-CONFIRM:]]
    if not last:
        return 0, 0
    likely = median_low(last) if len(last) == CONFIRM else min(last) if len(last) > 1 else 0
    return likely, max(last)


def _leaked(counts: Sequence[QueueLengths], requests: Sequence[InFlightReading]) -> bool:
    now = requests[-1].at
    quiet = [c for c in counts if c.at >= now - LEAK]
    still = [x for x in requests if x.at >= now - LEAK]
    whole = bool(counts) and counts[0].at <= now - LEAK and requests[0].at <= now - LEAK
    unmoved = len({x.moves for x in still}) == 1
    return whole and unmoved and len(quiet) >= CONFIRM and not any(c.total for c in quiet)
