"""The simulator: its physics, its floor, and what our policy reaches in it."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscale.simulation.baselines import BASELINES
from autoscale.simulation.comparison import (
    POLICIES,
    Case,
    arrivals_of,
    compare,
    make_policy,
    simulate,
)
from autoscale.simulation.environment import Environment
from autoscale.simulation.lower_bound import lower_bound
from autoscale.simulation.simulator import RunResult, SimulatedMachine, Simulation
from autoscale.simulation.traces import TRACES, burst, poisson

EASY = Environment(boot=(10.0, 10.0), boot_median=10.0, pending=(4.0, 4.0), service_spread=0.0)


class Script:
    """Starts and stops by the clock."""

    period, foresees = 1.0, False

    def __init__(self, start: dict[int, int], kill_at: int | None = None) -> None:
        self._start, self._kill_at = start, kill_at

    def begin(self, simulation: Simulation, arrivals: object) -> None:
        """Knows what to do."""

    def tick(self, simulation: Simulation) -> None:
        now = int(simulation.now)
        simulation.start(self._start.get(now, 0))
        servers: list[SimulatedMachine] = list(simulation.servers)
        if now == self._kill_at:
            simulation.stop(servers[0], kill=True)
        elif now > 60 and not simulation.outstanding:
            for server in servers:
                simulation.stop(server)


def run(arrivals: list[float], script: Script, environment: Environment = EASY) -> RunResult:
    return Simulation(arrivals, script, environment, 0).run()


def test_simulated_task_waits_for_boot() -> None:
    outcome = run([0.5], Script({1: 1}))
    assert outcome.p50 == pytest.approx(11.0 + 0.5 - 0.5)
    assert outcome.launches == 1


def test_billed_seconds_have_a_minimum_of_a_minute() -> None:
    outcome = run([0.5], Script({1: 1}))
    assert outcome.all_stopped == 61
    assert outcome.billed == 60
    assert outcome.minimum_waste == pytest.approx(60 - 56)
    assert outcome.booting == 6


def test_killed_machine_redelivers_after_visibility_timeout() -> None:
    environment = replace(EASY, service=5.0, visibility=30.0)
    outcome = run([0.5], Script({1: 1, 20: 1}, kill_at=13), environment)
    assert outcome.redelivered == 1
    assert outcome.last_answer == pytest.approx(13 + 30 + 5)


def test_failed_boot_serves_nothing() -> None:
    outcome = run([0.5], Script({1: 1}), replace(EASY, failing_boots=1.0))
    assert outcome.late == 1


def test_simulation_enforces_the_cap() -> None:
    assert run([0.5], Script({1: 99}), replace(EASY, cap=3)).peak == 3


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_answers_a_burst(policy: str) -> None:
    outcome = simulate(policy, arrivals_of("burst", 0), Environment(), 0)
    assert outcome.tasks == 100
    assert outcome.last_answer > 0
    assert outcome.peak <= 15


def test_same_seed_gives_same_run() -> None:
    first, second = (simulate("slo", arrivals_of("burst", 3), Environment(), 3) for _ in range(2))
    assert first == second


@settings(max_examples=30, deadline=None)
@given(
    gaps=st.lists(st.floats(0.0, 300.0), min_size=1, max_size=12),
    policy=st.sampled_from(("slo", "one-per-backlog", "clairvoyant")),
    seed=st.integers(0, 99),
)
def test_lower_bound_holds_for_policies_that_meet_the_objective(
    gaps: list[float], policy: str, seed: int
) -> None:
    arrivals, now = [], 50.0
    for gap in gaps:
        now += gap
        arrivals.append(now)
    environment = Environment(keeps_stopped=False)
    outcome = simulate(policy, arrivals, environment, seed)
    if outcome.late == 0:
        assert outcome.billed >= lower_bound(arrivals, environment) - 1e-6


def test_lower_bound_of_one_photo_is_a_minute() -> None:
    assert lower_bound([5.0], Environment()) == 60
    assert lower_bound([5.0, 5000.0], Environment()) == 120
    assert lower_bound([], Environment()) == 0


@pytest.mark.parametrize("trace", ["flash", "burst"])
def test_slo_stays_near_the_clairvoyant(trace: str) -> None:
    environment = Environment(keeps_stopped=False)
    ours, best = compare(
        [Case(trace, policy, environment, seeds=2) for policy in ("slo", "clairvoyant")]
    )
    assert ours.late <= best.late
    if trace == "burst":
        assert ours.launches <= best.launches + 2
    else:
        assert ours.billed <= 1.35 * best.billed


@pytest.mark.parametrize("seed", range(10))
def test_one_per_backlog_burst_reaches_the_cap_and_ends_soon(seed: int) -> None:
    environment = Environment(
        boot=(2.0, 20.0), boot_median=6.0, pending=(1.0, 2.0), stopping=(1.0, 2.0)
    )
    ours = make_policy("one-per-backlog", environment)
    outcome = Simulation(burst(random.Random(seed)), ours, environment, seed).run()
    assert outcome.peak == 15
    assert outcome.late == 0
    assert outcome.last_answer < 90
    assert outcome.all_stopped - outcome.last_answer < 12


def test_failed_boots_are_replaced() -> None:
    environment = Environment(failing_boots=0.3)
    outcome = simulate("slo", arrivals_of("burst", 1), environment, 1)
    assert outcome.last_answer > 0
    assert outcome.late < 100


def test_traces_match_their_description() -> None:
    for name, make in TRACES.items():
        arrivals = make(random.Random(1))
        assert arrivals == sorted(arrivals), name
        assert len(arrivals) >= (20 if name == "lull" else 100), name
    assert set(BASELINES) < set(POLICIES)


@pytest.mark.parametrize("trace", ["ramp", "flash"])
def test_rollout_under_load_makes_no_photo_late(trace: str) -> None:
    arrivals = arrivals_of(trace, 1)
    middle = arrivals[len(arrivals) // 2]
    environment = replace(Environment(), new_image_at=middle)
    policy = make_policy("slo", environment)
    simulation = Simulation(arrivals, policy, environment, 1)
    outcome, calm = simulation.run(), simulate("slo", arrivals, Environment(), 1)
    assert outcome.late <= calm.late
    assert outcome.redelivered == 0
    assert outcome.peak <= environment.cap
    assert not any(
        simulation.outdated(server) for server in simulation.pool if server.asked > middle
    )
    assert outcome.billed < 1.25 * calm.billed


def test_service_and_boot_times_that_drift_are_followed() -> None:
    drifting = replace(
        Environment(keeps_stopped=False), service_drift=3.0, boot_drift=1.5, drift_seconds=900.0
    )
    arrivals = poisson(lambda _: 4.0, 1200, 4.0, random.Random(3))
    result = simulate("slo", arrivals, drifting, 3)
    assert result.late == 0
    assert result.peak >= 2, "a machine does four a second at first, a third of that later"


def test_videos_among_photos_make_no_photo_late() -> None:
    filmed = replace(Environment(keeps_stopped=False), videos=0.02)
    arrivals = poisson(lambda _: 2.0, 900, 2.0, random.Random(4))
    result = simulate("slo", arrivals, filmed, 4)
    assert result.late == 0
    assert result.all_stopped > result.last_answer
