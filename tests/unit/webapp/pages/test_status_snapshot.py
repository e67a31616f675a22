"""The picture: readings of two sources in one line of time."""

from typing import Any

from facerec_tasks.control_schemas import Decision
from webapp.pages.aws_readings import AwsReading
from webapp.pages.status_snapshot import SnapshotInputs, render_snapshot
from webapp.services.recent_answers import SLOTS, RecentAnswers

NOW = 1_000_002.0
"""Two seconds into the last slot."""


def inputs(**fields: Any) -> SnapshotInputs:
    recent = RecentAnswers()
    found: dict[str, Any] = {
        "now": NOW,
        "readings": [AwsReading(NOW, 3, 1, 0, {"running": 2, "pending": 1, "stopped": 4})],
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
    return SnapshotInputs(**(found | fields))


def test_running_instance_is_ready_by_controller_reading() -> None:
    steps = [Decision("s", NOW - 4, machines={"running": 2, "ready": 1})]
    machines = render_snapshot(inputs(steps=steps))["machines"]
    assert (machines["pending"], machines["booting"], machines["ready"]) == (1, 1, 1)
    assert machines["stopped"] == 4


def test_ready_is_capped_at_running() -> None:
    steps = [Decision("s", NOW - 4, machines={"running": 9, "ready": 9})]
    machines = render_snapshot(inputs(steps=steps))["machines"]
    assert (machines["booting"], machines["ready"]) == (0, 2)


def test_controller_states_used_without_ec2() -> None:
    steps = [Decision("s", NOW - 4, machines={"running": 5, "ready": 3, "stopping": 1})]
    blind = AwsReading(NOW, None, None, None, None, ("EC2 refused",))
    picture = render_snapshot(inputs(steps=steps, readings=[blind]))
    assert (picture["machines"]["ready"], picture["machines"]["booting"]) == (3, 2)
    assert picture["queue"]["visible"] is None
    assert picture["faults"] == ["EC2 refused"]
    assert picture["series"]["ready"][-1] == 3


def test_reading_is_held_for_a_minute() -> None:
    series = render_snapshot(
        inputs(steps=[Decision("s", NOW - 300, visible=8, machines={})], readings=[AwsReading(NOW)])
    )
    visible = series["series"]["visible"]
    assert len(visible) == SLOTS
    assert visible[-61] == 8
    assert visible[-49] == 8
    assert visible[-30] is None
    assert visible[-80] is None


def test_short_drain_is_shown() -> None:
    steps = [
        Decision("s", NOW - 50, machines={"stopping": 2}),
        Decision("s", NOW - 49, machines={"stopped": 2}),
    ]
    assert 2 in render_snapshot(inputs(steps=steps))["series"]["stopping"]


def test_stopped_instances_show_at_once() -> None:
    steps = [Decision("s", NOW - 30, machines={"running": 2, "ready": 1}, stop=("i-1", "i-2"))]
    series = render_snapshot(inputs(steps=steps, readings=[AwsReading(NOW)]))["series"]
    assert (series["ready"][-1], series["booting"][-1], series["stopping"][-1]) == (0, 0, 2)
    refused = [
        Decision("s", NOW - 30, machines={"running": 2}, stop=("i-1", "i-2"), done={"stop": "no"})
    ]
    assert (
        render_snapshot(inputs(steps=refused, readings=[AwsReading(NOW)]))["series"]["booting"][-1]
        == 2
    )


def test_cost_is_hours_times_price() -> None:
    assert render_snapshot(inputs())["cost"]["dollars"] == 0.1
    assert render_snapshot(inputs(hourly=None))["cost"]["dollars"] is None


def test_silent_controller_is_reported() -> None:
    assert not render_snapshot(inputs())["controller"]["silent"]
    assert render_snapshot(inputs(controller_seen=NOW - 1000))["controller"]["silent"]
    assert render_snapshot(inputs(controller_seen=None))["controller"] == {
        "seen": None, "silent": True, "decisions": [],
    }  # fmt: skip
