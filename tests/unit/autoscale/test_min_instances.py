"""Machines that run at times of the day."""

from datetime import UTC, datetime

import pytest

from autoscale.min_instances import ScheduleWindow, min_instances
from facerec_tasks.settings import Settings

SCHEDULE = ("Mon-Fri 08:00-18:00=2", "Sat 23:00-01:00=3", "12:00-12:30=1")


@pytest.mark.parametrize(
    ("when", "machines"),
    [
        ("2026-11-27 08:00", 2),  # a Friday
        ("2026-11-27 18:00", 0),
        ("2026-11-28 09:00", 0),
        ("2026-11-28 12:10", 1),
        ("2026-11-28 23:30", 3),
        ("2026-11-29 00:59", 3),  # Saturday's window goes on
        ("2026-11-29 01:00", 0),
    ],
)
def test_min_instances_schedule(when: str, machines: int) -> None:
    now = datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()
    assert min_instances(0, SCHEDULE, now) == machines
    assert min_instances(5, SCHEDULE, now) == 5


@pytest.mark.parametrize(
    "text",
    [
        "Mon-Fri_08:00-18:00=2,Sat_23:00-01:00=3, 12:00-12:30=1",
        '["Mon-Fri 08:00-18:00=2", "Sat 23:00-01:00=3", "12:00-12:30=1"]',
    ],
)
def test_schedule_is_written_with_commas_or_as_json(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEREC_MIN_INSTANCES_SCHEDULE", text)
    found = [ScheduleWindow.parse(window) for window in Settings().min_instances_schedule]
    assert found == [ScheduleWindow.parse(window) for window in SCHEDULE]


@pytest.mark.parametrize("text", ["", "08:00=1", "25:00-26:00=1", "Mon,Tue 08:00-09:00=1"])
def test_malformed_window_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="window"):
        ScheduleWindow.parse(text)
