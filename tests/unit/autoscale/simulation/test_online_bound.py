"""What costs without foresight cannot stay below."""

from autoscale.simulation.comparison import simulate
from autoscale.simulation.environment import Environment
from autoscale.simulation.online_bound import best_hold, burst_bound, start_bound

COLD = Environment(keeps_stopped=False)


def test_a_burst_of_a_hundred_needs_two_machines_and_sometimes_more() -> None:
    assert 120 <= burst_bound(100, COLD) <= 135


def test_a_single_photo_needs_a_second_machine_where_one_boots_too_slowly() -> None:
    assert burst_bound(1, COLD, risk=0.1) == 60
    assert burst_bound(1, COLD, risk=0.0) > 60


def test_lone_photos_cost_two_minutes_each_without_foresight() -> None:
    arrivals = [1000.0 * n for n in range(1, 6)]
    assert best_hold(arrivals, COLD) == 5 * 120
    assert best_hold(arrivals, COLD, risk=0.1) == 5 * 60


def test_pauses_shorter_than_a_restart_costs_are_bridged() -> None:
    arrivals = [100.0 * n for n in range(1, 11)]
    assert 900 <= best_hold(arrivals, COLD) < 10 * 120


def test_start_takes_a_second_machine_though_pauses_are_known() -> None:
    arrivals = [1000.0 * n for n in range(1, 6)]
    assert 5 * 110 <= start_bound(arrivals, COLD) <= 5 * 120
    assert start_bound(arrivals, COLD, risk=0.05) <= 5 * 61


def test_known_pauses_are_bridged_only_where_that_pays() -> None:
    together, apart = [100.0, 180.0], [100.0, 1000.0]
    assert start_bound(together, COLD) < start_bound(apart, COLD)
    assert start_bound(apart, COLD) <= best_hold(apart, COLD)


def test_the_controller_does_not_stay_below_the_burst_bound() -> None:
    arrivals = [10.0 + n / 100 for n in range(100)]
    billed = [simulate("slo", arrivals, COLD, seed).billed for seed in range(5)]
    assert sum(billed) / 5 >= burst_bound(100, COLD)
