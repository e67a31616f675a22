"""What is learned, and never trusted too much."""

import pytest

from autoscale.estimates import LEAST_WORST, Estimates, ServiceTimeMeter
from autoscale.model import ScalingLimits

LIMITS = ScalingLimits(cap=15)


def test_estimates_default_to_settings_without_observations() -> None:
    assert Estimates().applied_to(LIMITS) == LIMITS


def test_boot_estimate_is_mean_rounded_up() -> None:
    estimates = Estimates()
    for seconds in (40.1, 44.0, 52.3, 61.0, 70.2):
        estimates = estimates.booted(seconds)
    limits = estimates.applied_to(LIMITS)
    assert (limits.boot, limits.boot_worst) == (54.0, 80.0)


def test_boot_timeout_is_wide_after_few_boots() -> None:
    limits = Estimates().booted(2.0).applied_to(LIMITS)
    assert limits.boot == 2.0
    assert limits.boot_worst == LEAST_WORST


def test_boot_timeout_grows_after_a_boot_was_given_up() -> None:
    estimates = Estimates().gave_up(90.0)
    assert estimates.applied_to(LIMITS).boot_worst == 90.0
    assert estimates.gave_up(1e9).applied_to(LIMITS).boot_worst == 600.0
    assert estimates.booted(30.0).applied_to(LIMITS).boot_worst < 90.0


def test_estimates_survive_a_restart() -> None:
    estimates = Estimates().booted(31.5).served(0.25).with_processes(2).gave_up(90.0)
    assert Estimates.from_json(estimates.to_json()) == estimates


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"boots":[-1],"services":[],"processes":1,"given_up":0}',
     b'{"boots":["x"],"services":[],"processes":1,"given_up":0}',
     b'{"boots":[],"services":[],"processes":0.5,"given_up":0}'],
)  # fmt: skip
def test_corrupt_estimates_are_rejected(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  json's own or ours
        Estimates.from_json(data)


def test_service_time_is_measured_while_all_processes_are_busy() -> None:
    watch = ServiceTimeMeter()
    assert watch.look(0.0, 0, 500, up=5, processes=2) is None
    assert watch.look(2.0, 40, 460, up=5, processes=2) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("answered", "waiting", "up"),
    [
        pytest.param(40, 3, 5, id="some were idle"),
        pytest.param(40, 400, 6, id="another came up"),
        pytest.param(None, 400, 5, id="no web tier"),
        pytest.param(40, 400, 0, id="none is up"),
        pytest.param(2, 400, 5, id="too few to say"),
    ],
)
def test_service_time_is_not_measured_while_idle(
    answered: int | None, waiting: int, up: int
) -> None:
    watch = ServiceTimeMeter()
    watch.look(0.0, 0, 500, up=5, processes=2)
    assert watch.look(2.0, answered, waiting, up=up, processes=2) is None


def test_service_time_grows_when_nothing_is_answered() -> None:
    watch = ServiceTimeMeter()
    watch.look(0.0, 0, 500, up=1, processes=2)
    assert watch.look(20.0, 0, 500, up=1, processes=2) == 40.0
