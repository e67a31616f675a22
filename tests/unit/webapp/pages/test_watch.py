"""What a page that is left open costs."""

from dataclasses import replace
from pathlib import Path

import pytest

from facerec_tasks.settings import Settings
from webapp.pages.aws_readings import AwsReading
from webapp.pages.status import StatusReader
from webapp.services.in_flight import InFlight
from webapp.services.metrics import WebMetrics
from webapp.services.task_client import TaskClient


@pytest.mark.parametrize(
    ("reading", "rests"),
    [
        (AwsReading(0, 0, 0, 3, {}), True),
        (AwsReading(0, 0, 0, 0, {"stopped": 4, "terminated": 1}), True),
        (AwsReading(0, 1, 0, 0, {}), False),
        (AwsReading(0, 0, 1, 0, {}), False),
        (AwsReading(0, 0, 0, 0, {"pending": 1, "stopped": 4}), False),
        (AwsReading(0, 0, 0, 0, {"stopping": 1}), False),
        (AwsReading(0, None, None, None, {}), False),
        (AwsReading(0, 0, 0, 0, None), False),
    ],
)
def test_rest_requires_complete_readings(reading: AwsReading, rests: bool) -> None:
    assert reading.at_rest is rests


class Asked:
    """Counts the questions; answers as it was told."""

    def __init__(self, answer: AwsReading) -> None:
        self.answer = answer
        self.times: list[float] = []

    def take(self, now: float) -> AwsReading:
        self.times.append(now)
        return replace(self.answer, at=now)


def test_aws_polling_slows_at_rest(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    task_client = TaskClient(settings, InFlight("here-0"), WebMetrics(None))
    watch = StatusReader(settings, task_client)
    asked = Asked(AwsReading(0, 0, 0, 0, {}))
    watch._readings = asked  # type: ignore[assignment]
    for second in range(0, 30, 2):
        assert watch._read(1000.0 + second).at == 1000.0 + second
        watch._kept.append(replace(asked.answer, at=1000.0 + second))
    assert len(asked.times) == 3
    task_client.in_flight.accept("a")
    watch._read(1030.0)
    watch._read(1032.0)
    assert asked.times[-2:] == [1030.0, 1032.0]
