"""How long a service that dies again and again waits."""

import pytest

from local.processes.service import LONGEST_DELAY, restart_delay


@pytest.mark.parametrize(("deaths", "delay"), [(1, 0.2), (2, 0.4), (3, 0.8), (6, 6.4)])
def test_the_delay_doubles_with_each_early_death(deaths: int, delay: float) -> None:
    assert restart_delay(deaths) == delay


def test_the_delay_has_an_end() -> None:
    assert restart_delay(1000) == LONGEST_DELAY
