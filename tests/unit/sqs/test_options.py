"""Options are checked at the start, all faults at once."""

import pytest
from celery_sqs.options import Options


def test_members_of_kombu_pass_by() -> None:
    options = Options.of({"polling_interval": 1, "region": "eu-west-1", "endpoint_url": None})
    assert options == Options(region="eu-west-1")


def test_all_faults_are_named() -> None:
    with pytest.raises(ValueError, match=r"backoff.*wait_time.*visibility.*max_ext.*watchdog"):
        Options.of(
            {
                "backoff": (9, 2), "wait_time_seconds": 21, "visibility_timeout": 2,
                "max_extension": 1, "watchdog": 30,
            }
        )  # fmt: skip


@pytest.mark.parametrize(
    ("receives", "delay"), [(0, 2), (1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (10**6, 60)]
)
def test_delays_double_to_a_limit(receives: int, delay: int) -> None:
    assert Options().delay(receives) == delay
