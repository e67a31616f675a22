"""How long a machine is kept that is not needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscale.keep_alive import LEAST_HOLD, PRIOR_GAPS, Level, hold, observe, restart_cost


def test_hold_covers_short_gaps_that_come_again() -> None:
    assert hold([40.0] * 20, 60.0) == 40.0


def test_hold_gives_up_gaps_that_are_dearer_than_a_restart() -> None:
    assert hold([400.0] * 20, 60.0) <= 17.0


@given(gaps=st.lists(st.floats(1, 5000), max_size=24), restart=st.floats(0, 300))
def test_hold_costs_no_more_than_any_other(gaps: list[float], restart: float) -> None:
    known = (*PRIOR_GAPS, *gaps)

    def cost(seconds: float) -> float:
        return sum(g if g <= seconds else seconds + restart for g in known)

    best = cost(hold(gaps, restart))
    assert best <= min(cost(s) for s in (LEAST_HOLD, 15.0, 30.0, 60.0, 120.0, 600.0)) + 1e-6


def test_restart_costs_the_boot_or_the_rest_of_the_billed_minute() -> None:
    assert restart_cost(0.0, 36.6) == 60.0
    assert restart_cost(500.0, 36.6) == pytest.approx(0.8 * 36.6)
    assert restart_cost(0.0, 36.6, machines=2) == 120.0


def test_gaps_are_learned_per_level() -> None:
    levels: tuple[Level, ...] = ()
    for cycle in range(5):
        for second in range(0, 20, 2):
            levels = observe(levels, 2, 100.0 * cycle + second)
        for second in range(20, 60, 2):
            levels = observe(levels, 1, 100.0 * cycle + second)
    assert levels[0].gaps == (42.0,) * 4
    assert levels[1].gaps == (82.0,) * 4
    assert 18 <= levels[1].run < 30
