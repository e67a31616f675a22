"""What a page that is left open costs."""

from dataclasses import replace

import pytest

from webapp.pages.aws_readings import AwsReading, PacedReader


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


def test_aws_polling_slows_at_rest() -> None:
    asked: list[float] = []

    def take(now: float) -> AwsReading:
        asked.append(now)
        return replace(AwsReading(0, 0, 0, 0, {}), at=now)

    reader = PacedReader(take)
    for second in range(0, 30, 2):
        assert reader.take(1000.0 + second, outstanding=0).at == 1000.0 + second
    assert asked == [1000.0, 1010.0, 1020.0]
    for now in (1030.0, 1032.0):
        reader.take(now, outstanding=1)
    assert asked[-2:] == [1030.0, 1032.0]
