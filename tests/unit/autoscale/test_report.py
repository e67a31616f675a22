"""What a day has cost."""

import pytest

from autoscale.decisions import Decision
from autoscale.metrics import ControllerMetrics
from autoscale.report import report
from autoscale.simulation.traces import recorded

BEGIN = 1_800_000_000.0
LIMITS = {"cap": 15, "slo": 60.0, "service": 0.5, "processes": 2, "boot": 36.6, "boot_worst": 60.0}


def step(second: float, accepted: float, done: dict[str, object] | None = None,
         ran: dict[str, float] | None = None, **machines: int) -> Decision:  # fmt: skip
    return Decision(
        step=f"r-{second:g}", at=BEGIN + second, visible=0, in_flight=0, outstanding=0,
        bound="exact", waiting=0, accepted=accepted, machines=machines, unconfirmed=0, need=0,
        target=0, terms={}, limits=LIMITS, done=done or {}, ran=ran or {},
    )  # fmt: skip


DAY = [
    step(0, 0),
    step(2, 100, {"launch": ["i-1", "i-2"]}),
    step(12, 100, pending=2),
    step(32, 100, running=2),
    step(52, 100, {"stop": ["i-1", "i-2"]}, {"i-1": 30.0, "i-2": 30.0}, running=2, ready=2),
    step(82, 100, stopping=2),
    step(112, 100, stopped=2),
    step(3712, 100),
]


def test_cost_report_splits_billed_seconds() -> None:
    found = report(DAY, "c7i.large")
    assert (found.photos, found.launches, found.stops, found.peak) == (100, 2, 2, 2)
    running = 2 * 20 + 2 * 30
    assert found.minimum_waste == 60
    assert found.billed == running + 60
    assert found.booting == 2 * 20
    assert found.working == 25
    assert found.idle == running - 40 - 25
    assert found.stopped == 2 * 60, "a longer gap is time nobody watched"
    assert found.unwatched == 3540
    assert found.lower_bound == 60
    assert found.ratio == pytest.approx(160 / 60)


def test_cost_report_dollars() -> None:
    found = report(DAY, "c7i.large", hourly=3.6)
    assert found.dollars == pytest.approx(0.16, rel=0.01)
    assert found.dollars_per_thousand == pytest.approx(1.6, rel=0.01)
    assert report(DAY, "unheard.of").dollars is None


def test_cost_report_without_decisions() -> None:
    found = report([], "c7i.large")
    assert (found.billed, found.photos, found.ratio) == (0.0, 0, None)


def test_cost_report_ignores_failed_launches() -> None:
    assert report([step(0, 0, {"launch": "Unavailable: no"})], "c7i.large").launches == 0


def test_recorded_arrivals_keep_count_and_spacing() -> None:
    arrivals = recorded(DAY)
    assert len(arrivals) == 100
    assert arrivals[0] == 10.0
    assert arrivals[-1] - arrivals[0] < 2.0


def test_recorded_arrivals_over_a_controller_restart() -> None:
    assert len(recorded([step(0, 50), step(2, 60), step(4, 0), step(6, 5)])) == 15


def test_metrics_of_decisions() -> None:
    metrics = ControllerMetrics()
    assert metrics.render() == ""
    for each in (*DAY, step(3714, 100, {"launch": "Unavailable: no"})):
        metrics.observe(each)
    text = metrics.render()
    assert 'facerec_actions_total{action="launch"} 2' in text
    assert 'facerec_failures_total{action="launch"} 1' in text
    assert 'facerec_machines{state="stopped"} 0' in text
    assert "# TYPE facerec_steps_total counter\nfacerec_steps_total 9.0\n" in text
