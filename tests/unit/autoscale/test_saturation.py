"""More machines that get no more work done."""

from autoscale.saturation import FRESH, SaturationMonitor


def monitor(*throughputs: tuple[int, float]) -> SaturationMonitor:
    made = SaturationMonitor()
    for machines, rate in throughputs:
        for second in range(3):
            made.measured(float(second), machines, rate)
    return made


def test_throughput_that_grows_is_no_saturation() -> None:
    assert monitor((2, 8.0), (4, 15.0), (8, 29.0)).useful(10.0) is None


def test_throughput_that_does_not_grow_limits_the_fleet() -> None:
    assert monitor((2, 5.1), (4, 5.3), (15, 4.9)).useful(10.0) == 2


def test_one_machine_more_proves_nothing() -> None:
    assert monitor((4, 15.0), (5, 15.0)).useful(10.0) is None


def test_few_measurements_prove_nothing() -> None:
    made = monitor((2, 5.0))
    made.measured(3.0, 8, 5.0)
    assert made.useful(10.0) is None


def test_saturation_is_tried_again_after_ten_minutes() -> None:
    assert monitor((2, 5.0), (8, 5.0)).useful(FRESH + 10.0) is None
