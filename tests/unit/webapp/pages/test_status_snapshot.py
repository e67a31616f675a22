"""The picture: readings of two sources in one line of time."""

from typing import Any

from webapp.pages.aws_readings import Reading
from webapp.pages.decisions import Step
from webapp.pages.status_snapshot import Sight, draw
from webapp.services.recent_answers import SLOTS, Recent

NOW = 1_000_002.0
"""Two seconds into the last slot."""


def sight(**fields: Any) -> Sight:
    recent = Recent()
    found: dict[str, Any] = {
        "now": NOW,
        "readings": [Reading(NOW, 3, 1, 0, {"running": 2, "pending": 1, "stopped": 4})],
        "steps": [],
        "changes": [],
        "slots": recent.slots(NOW),
        "minute": recent.total(NOW, 60),
        "window": recent.total(NOW),
        "outstanding": 4,
        "controller_seen": NOW - 5,
        "billed": 3600.0,
        "complete": True,
        "hourly": 0.1,
        "instance_type": "c7i.large",
    }
    return Sight(**(found | fields))


def test_a_running_machine_is_ready_when_the_controller_says_so() -> None:
    steps = [Step(at=NOW - 4, machines={"running": 2, "ready": 1})]
    machines = draw(sight(steps=steps))["machines"]
    assert (machines["pending"], machines["booting"], machines["ready"]) == (1, 1, 1)
    assert machines["stopped"] == 4


def test_more_ready_than_running_cannot_be() -> None:
    steps = [Step(at=NOW - 4, machines={"running": 9, "ready": 9})]
    machines = draw(sight(steps=steps))["machines"]
    assert (machines["booting"], machines["ready"]) == (0, 2)


def test_without_ec2_the_controller_is_believed() -> None:
    steps = [Step(at=NOW - 4, machines={"running": 5, "ready": 3, "stopping": 1})]
    blind = Reading(NOW, None, None, None, None, ("EC2 refused",))
    picture = draw(sight(steps=steps, readings=[blind]))
    assert (picture["machines"]["ready"], picture["machines"]["booting"]) == (3, 2)
    assert picture["queue"]["visible"] is None
    assert picture["faults"] == ["EC2 refused"]
    assert picture["series"]["ready"][-1] == 3


def test_a_reading_stands_for_a_minute_and_no_longer() -> None:
    series = draw(
        sight(steps=[Step(at=NOW - 300, visible=8, machines={})], readings=[Reading(NOW)])
    )
    visible = series["series"]["visible"]
    assert len(visible) == SLOTS
    assert visible[-61] == 8
    assert visible[-49] == 8
    assert visible[-30] is None
    assert visible[-80] is None


def test_a_drain_shorter_than_a_slot_is_seen() -> None:
    steps = [
        Step(at=NOW - 50, machines={"stopping": 2}),
        Step(at=NOW - 49, machines={"stopped": 2}),
    ]
    assert 2 in draw(sight(steps=steps))["series"]["stopping"]


def test_what_is_stopped_shows_at_once_not_at_the_next_reading() -> None:
    steps = [Step(at=NOW - 30, machines={"running": 2, "ready": 1}, changes={"stop": 2})]
    series = draw(sight(steps=steps, readings=[Reading(NOW)]))["series"]
    assert (series["ready"][-1], series["booting"][-1], series["stopping"][-1]) == (0, 0, 2)
    refused = [
        Step(at=NOW - 30, machines={"running": 2}, changes={"stop": 2}, failures={"stop": "no"})
    ]
    assert draw(sight(steps=refused, readings=[Reading(NOW)]))["series"]["booting"][-1] == 2


def test_cost_is_hours_times_price_and_unknown_without_one() -> None:
    assert draw(sight())["cost"]["dollars"] == 0.1
    assert draw(sight(hourly=None))["cost"]["dollars"] is None


def test_a_controller_that_is_not_heard_of_is_silent() -> None:
    assert not draw(sight())["controller"]["silent"]
    assert draw(sight(controller_seen=NOW - 1000))["controller"]["silent"]
    assert draw(sight(controller_seen=None))["controller"] == {
        "seen": None, "silent": True, "decisions": [],
    }  # fmt: skip
