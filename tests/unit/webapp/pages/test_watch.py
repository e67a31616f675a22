"""What a page that is left open costs."""

from dataclasses import replace
from pathlib import Path

import pytest

from facerec_tasks.settings import Settings
from webapp.pages.aws_readings import Reading
from webapp.pages.status import Watch
from webapp.services.in_flight import Ledger
from webapp.services.metrics import Metrics
from webapp.services.task_client import Doorbell


@pytest.mark.parametrize(
    ("reading", "rests"),
    [
        (Reading(0, 0, 0, 3, {}), True),
        (Reading(0, 0, 0, 0, {"stopped": 4, "terminated": 1}), True),
        (Reading(0, 1, 0, 0, {}), False),
        (Reading(0, 0, 1, 0, {}), False),
        (Reading(0, 0, 0, 0, {"pending": 1, "stopped": 4}), False),
        (Reading(0, 0, 0, 0, {"stopping": 1}), False),
        (Reading(0, None, None, None, {}), False),
        (Reading(0, 0, 0, 0, None), False),
    ],
)
def test_rest_is_known_not_assumed(reading: Reading, rests: bool) -> None:
    assert reading.at_rest is rests


class Asked:
    """Counts the questions; answers as it was told."""

    def __init__(self, answer: Reading) -> None:
        self.answer = answer
        self.times: list[float] = []

    def take(self, now: float) -> Reading:
        self.times.append(now)
        return replace(self.answer, at=now)


def test_aws_is_asked_seldom_at_rest_and_at_once_when_a_photo_comes(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    doorbell = Doorbell(settings, Ledger("here-0"), Metrics(None))
    watch = Watch(settings, doorbell)
    asked = Asked(Reading(0, 0, 0, 0, {}))
    watch._readings = asked  # type: ignore[assignment]
    for second in range(0, 30, 2):
        assert watch._read(1000.0 + second).at == 1000.0 + second
        watch._kept.append(replace(asked.answer, at=1000.0 + second))
    assert len(asked.times) == 3
    doorbell.ledger.accept("a")
    watch._read(1030.0)
    watch._read(1032.0)
    assert asked.times[-2:] == [1030.0, 1032.0]
