"""When a constant fleet is cheaper than starting and stopping."""

from autoscale.warm_fleet import TrafficSample, sampled, warm_fleet

RATE, SLO, CAP = 4.0, 60.0, 15


def wave(seconds: int, billed_rate: float, on: int = 20, off: int = 100) -> list[TrafficSample]:
    """20 photos a second for ``on`` seconds of each cycle."""
    samples, arrived = [], 0.0
    for t in range(0, seconds, 4):
        arrived += 80 if t % (on + off) < on else 0
        samples.append(TrafficSample(float(t), arrived, billed_rate * t))
    return samples


def test_constant_fleet_is_kept_when_it_would_have_cost_less() -> None:
    assert warm_fleet(wave(1200, billed_rate=3.5), RATE, SLO, CAP) == 2
    assert warm_fleet(wave(1200, billed_rate=1.5), RATE, SLO, CAP) == 0


def test_constant_fleet_is_not_judged_by_a_few_minutes() -> None:
    assert warm_fleet(wave(240, billed_rate=9.0), RATE, SLO, CAP) == 0


def test_constant_fleet_ends_when_the_traffic_does_not_come_back() -> None:
    samples = wave(1200, billed_rate=3.5)
    last = samples[-1]
    quiet = [TrafficSample(last.at + t, last.arrived, last.billed) for t in range(4, 200, 4)]
    assert warm_fleet([*samples, *quiet], RATE, SLO, CAP) == 0


def test_single_machine_ends_with_a_pause_that_is_dearer_than_its_start() -> None:
    samples = [TrafficSample(float(t), float(t // 200), 1.5 * t) for t in range(0, 1200, 4)]
    assert warm_fleet(samples[:282], RATE, SLO, CAP) == 0, "120 s after the last"
    assert warm_fleet(samples[:265], RATE, SLO, CAP) == 1


def test_constant_fleet_never_exceeds_the_cap() -> None:
    assert warm_fleet(wave(1200, billed_rate=9.0), RATE, SLO, cap=1) == 0


def test_samples_are_thinned_and_forgotten() -> None:
    samples: tuple[TrafficSample, ...] = ()
    for t in range(4000):
        samples = sampled(samples, TrafficSample(float(t), float(t), 0.0))
    assert samples[0].at >= 4000 - 1200 - 8
    assert len(samples) <= 301
