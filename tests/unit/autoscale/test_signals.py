"""What two signals amount to, each of them late or missing."""

import json
from collections.abc import Iterator

import pytest

from autoscale.model import Demand, FleetSnapshot, PolicyState, ScalingLimits
from autoscale.policy import decide
from autoscale.signals import (
    DemandEstimator,
    InFlightReading,
    QueueLengths,
    fuse,
    read_in_flight,
)
from facerec_tasks.control_schemas import ProcessReport
from tests.answering import Silent, serving

LONGEST = 120.0


def web(
    outstanding: int,
    *,
    accepted: int = 1000,
    started: float = -1e6,
    epoch: str = "e",
    at: float = 0.0,
) -> InFlightReading:
    process = ProcessReport("m-0", epoch, started, accepted, accepted - outstanding, outstanding)
    return InFlightReading(at, (process,))


def counts(*totals: int, every: float = 2.0) -> list[QueueLengths]:
    return [QueueLengths(i * every, total, 0) for i, total in enumerate(totals)]


def test_no_reading_gives_no_demand() -> None:
    assert fuse([], [], exact=False) is None
    assert DemandEstimator(LONGEST).take(None, None, 0.0) is None


@pytest.mark.parametrize(
    ("totals", "grow", "hold"),
    [
        pytest.param((100,), 0, 100, id="one reading starts nothing, and stops nothing"),
        pytest.param((0, 2), 0, 2, id="a lone phantom"),
        pytest.param((0, 2, 0), 0, 2, id="a phantom that is over"),
        pytest.param((0, 100, 100), 100, 100, id="seen twice"),
        pytest.param((78, 0, 29), 29, 78, id="a true 100, read three times"),
        pytest.param((5, 0, 0, 0), 0, 0, id="zero, three times"),
    ],
)
def test_queue_counts_alone_must_agree(totals: tuple[int, ...], grow: int, hold: int) -> None:
    demand = fuse(counts(*totals), [], exact=False)
    assert demand == Demand(grow, hold, 0.0, "counts")


def test_exact_in_flight_count_overrides_stale_queue_counts() -> None:
    requests = [web(100, at=-10), web(0, at=0)]
    assert fuse(counts(100, 80, 90), requests, exact=True) == Demand(0, 0, 0.0, "exact")


def test_queue_counts_above_in_flight_are_other_work() -> None:
    assert fuse(counts(7, 7, 7), [web(0, at=6)], exact=True) == Demand(7, 7, 0.0, "exact")


def test_young_web_process_gives_a_lower_bound() -> None:
    assert fuse(counts(40, 40, 40), [web(3)], exact=False) == Demand(40, 40, 0.0, "lower")
    assert fuse(counts(0, 0, 0), [web(3)], exact=False) == Demand(3, 3, 0.0, "lower")


def test_without_queue_counts_no_scale_in() -> None:
    demand = fuse([], [web(9)], exact=True)
    assert demand == Demand(9, 9, 0.0, "exact", may_shrink=False)


def test_leaked_in_flight_entries_are_ignored_after_a_minute() -> None:
    requests = [web(2, at=t) for t in range(0, 63, 2)]
    assert fuse(counts(*[0] * 32), requests, exact=True) == Demand(0, 0, 0.0, "upper")
    moved = [*requests, web(2, accepted=1001, at=62)]
    assert fuse(counts(*[0] * 32), moved, exact=True) == Demand(2, 2, 0.0, "exact")
    assert fuse(counts(*[0] * 31, 1), requests, exact=True) == Demand(2, 2, 0.0, "exact")


def test_in_flight_count_is_exact_after_the_longest_task() -> None:
    signals = DemandEstimator(LONGEST)

    def bound(now: float, requests: InFlightReading) -> str:
        demand = signals.take(QueueLengths(now, 0, 0), requests, now)
        assert demand is not None
        return demand.bound

    assert bound(100, web(0, started=0, at=100)) == "lower"
    assert bound(130, web(0, started=0, at=130)) == "exact"
    assert bound(140, web(0, started=139, epoch="f", at=140)) == "lower", "restarted"
    assert bound(270, web(0, started=139, epoch="f", at=270)) == "exact"


def test_missing_web_process_gives_a_lower_bound() -> None:
    one = web(0).processes[0]
    other = ProcessReport("n-0", "g", -1e6, 0, 0, 0)
    signals = DemandEstimator(LONGEST)
    both = signals.take(QueueLengths(0, 0, 0), InFlightReading(0, (one, other)), 0)
    left = signals.take(QueueLengths(2, 0, 0), InFlightReading(2, (one,)), 2)
    later = signals.take(QueueLengths(200, 0, 0), InFlightReading(200, (one,)), 200)
    assert [d.bound for d in (both, left, later) if d] == ["exact", "lower", "exact"]


def test_arrivals_add_up_over_a_web_restart() -> None:
    signals = DemandEstimator(LONGEST)
    totals = []
    for now, requests in enumerate(
        (web(0, accepted=10), web(5, accepted=15), web(2, accepted=2, epoch="f"))
    ):
        demand = signals.take(None, requests, float(now))
        assert demand is not None
        totals.append(demand.accepted)
    assert totals == [10, 15, 17]


@pytest.mark.parametrize("where", range(6))
def test_single_phantom_count_launches_nothing(where: int) -> None:
    signals, memory = DemandEstimator(LONGEST), PolicyState()
    for step in range(6):
        now = 2.0 * step
        demand = signals.take(QueueLengths(now, 2 if step == where else 0, 0), None, now)
        plan = decide(FleetSnapshot(demand, (), memory), ScalingLimits(cap=15), now)
        memory = plan.memory
        assert not plan.changes


class _Web(Silent):
    body = b""
    status = 200

    def do_GET(self) -> None:
        self.answer(self.status if self.path == "/internal/in-flight" else 404, self.body)


@pytest.fixture
def address() -> Iterator[str]:
    _Web.status = 200
    with serving(_Web) as url:
        yield url


def test_in_flight_endpoint_is_read(address: str) -> None:
    entry = {
        "process": "m-0", "epoch": "e", "started_at": 5.0, "accepted": 9, "answered": 7,
        "outstanding": 2, "oldest_accepted_at": 6.0,
    }  # fmt: skip
    _Web.body = json.dumps({"processes": [entry], "outstanding": 2}).encode()
    requests = read_in_flight([address, address + "/"], 10.0)
    assert requests is not None
    assert (requests.outstanding, len(requests.processes)) == (4, 2)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"processes": [{}]}', b'{"processes": 1}'])
def test_malformed_in_flight_reading_is_missing(address: str, body: bytes) -> None:
    _Web.body = body
    assert read_in_flight([address], 0.0) is None


def test_unreachable_web_tier_is_a_missing_reading(address: str) -> None:
    _Web.answer, _Web.status = b'{"processes": []}', 500
    assert read_in_flight([address], 0.0) is None
    assert read_in_flight(["http://127.0.0.1:9"], 0.0) is None
    assert read_in_flight(["file:///etc/passwd"], 0.0) is None


class _CutOff(Silent):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "99")
        self.end_headers()
        self.wfile.write(b'{"processes"')


def test_in_flight_reading_that_is_cut_off_is_missing() -> None:
    with serving(_CutOff) as url:
        assert read_in_flight([url], 0.0) is None


def test_videos_are_counted_from_in_flight_only() -> None:
    process = ProcessReport("m-0", "e", -1e6, accepted=5, answered=1, outstanding=4, videos=3)
    demand = DemandEstimator(60.0).take(
        QueueLengths(0.0, 4, 0), InFlightReading(0.0, (process,)), 0.0
    )
    assert demand is not None
    assert (demand.grow, demand.videos) == (4, 3)
    demand = DemandEstimator(60.0).take(QueueLengths(0.0, 4, 0), None, 0.0)
    assert demand is not None
    assert demand.videos == 0
