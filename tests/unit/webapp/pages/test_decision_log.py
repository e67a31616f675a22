"""What a day is billed, from the controller's steps."""

from facerec_tasks.control_schemas import Decision
from webapp.pages.decision_log import billed


def test_billing_sums_running_instances() -> None:
    steps = (
        Decision("s", 0, machines={"running": 2, "pending": 5}),
        Decision("s", 10, machines={"running": 3}),
        Decision("s", 20, machines={}),
    )
    assert billed(steps) == 2 * 10 + 3 * 10


def test_billing_gap_counts_at_most_a_minute() -> None:
    steps = (Decision("s", 0, machines={"running": 1}), Decision("s", 5000, machines={}))
    assert billed(steps) == 60


def test_billing_minimum_is_a_minute() -> None:
    steps = (
        Decision("s", 0, machines={"running": 1}),
        Decision("s", 20, ran={"i-1": 20.0, "i-2": 70.0}),
    )
    assert billed(steps) == 20 + 40
