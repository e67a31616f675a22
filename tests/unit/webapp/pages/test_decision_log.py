"""What a day is billed, from the controller's steps."""

from webapp.pages.decision_log import billed
from webapp.pages.decisions import Step


def test_running_machines_are_billed_from_step_to_step() -> None:
    steps = (
        Step(at=0, machines={"running": 2, "pending": 5}),
        Step(at=10, machines={"running": 3}),
        Step(at=20, machines={}),
    )
    assert billed(steps) == 2 * 10 + 3 * 10


def test_a_gap_nobody_watched_counts_a_minute_at_most() -> None:
    steps = (Step(at=0, machines={"running": 1}), Step(at=5000, machines={}))
    assert billed(steps) == 60


def test_each_period_is_billed_a_minute_at_least() -> None:
    steps = (Step(at=0, machines={"running": 1}), Step(at=20, ran=(20.0, 70.0)))
    assert billed(steps) == 20 + 40
