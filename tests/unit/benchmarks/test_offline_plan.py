"""The offline plan and its bound."""

from pathlib import Path

import pytest

from autoscale.simulation.comparison import arrivals_of
from autoscale.simulation.environment import Environment
from benchmarks import stored_plans
from benchmarks.offline_bound import offline_bound
from benchmarks.offline_plan import execute, offline_plan

COLD = Environment(keeps_stopped=False)


@pytest.mark.parametrize("trace", ["burst", "two-bursts"])
def test_plan_is_in_time_and_not_below_its_bound(trace: str) -> None:
    arrivals = arrivals_of(trace, 3)
    result = execute(offline_plan(arrivals, COLD, 3, 5.0), arrivals, COLD, 3)
    bound = offline_bound(arrivals, COLD, 3, 5.0)
    assert result.late == 0
    assert 60 <= bound <= result.billed < 2 * bound


def test_stored_plans_are_of_just_this_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_plans, "FOLDER", tmp_path)
    arrivals = arrivals_of("burst", 3)
    made = stored_plans.solved("burst", arrivals, COLD, 3, 5.0)
    assert stored_plans.stored("burst", arrivals, COLD, 3) == made
    assert stored_plans.stored("burst", arrivals[1:], COLD, 3) is None
    assert stored_plans.stored("burst", arrivals, COLD, 4) is None


@pytest.mark.parametrize("trace", ["burst", "two-bursts", "lull"])
def test_stored_plans_are_in_time(trace: str) -> None:
    arrivals = arrivals_of(trace, 0)
    found = stored_plans.stored(trace, arrivals, COLD, 0)
    assert found is not None
    result = execute(found.plan, arrivals, COLD, 0)
    assert result.late == 0
    assert found.bound <= result.billed
