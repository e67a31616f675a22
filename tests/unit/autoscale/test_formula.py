"""The scaling formula, against machines that serve first in, first out."""

from hypothesis import given
from hypothesis import strategies as st

from autoscale.arrivals import Stream
from autoscale.formula import LEAST_SLACK, POINTS, Capacity, deadlines, ready_after, required

SLO, BOOT, RATE = 60.0, 36.6, 4.0
NONE = Stream(0.0, 0.0)

HISTORIES = st.lists(st.tuples(st.floats(0.5, 20.0), st.integers(0, 200)), min_size=1, max_size=12)


def totals_of(history: list[tuple[float, int]]) -> list[tuple[float, float]]:
    """(time, total) pairs of pauses and the photos that arrive at their end."""
    totals, now, total = [(0.0, 0.0)], 0.0, 0
    for pause, photos in history:
        now += pause
        total += photos
        totals.append((now, float(total)))
    return totals


@given(history=HISTORIES, there=st.lists(st.floats(0.0, 40.0), max_size=6), share=st.floats(0, 1))
def test_required_machines_meet_every_deadline_that_a_new_machine_can_meet(
    history: list[tuple[float, int]], there: list[float], share: float
) -> None:
    totals, ready = totals_of(history), sorted(there)
    now, total = totals[-1]
    waiting = int(share * total)
    photos = deadlines(waiting, totals, NONE, SLO, BOOT)
    found = required(photos, Capacity(tuple(ready), RATE, BOOT)).machines
    new = max(0, found - len(ready))
    serving = (ready + [ready_after(BOOT, new)] * new)[:found]
    assert found >= min(1, waiting)
    for arrived, until in totals:
        due = waiting - (total - until)  # first in, first out: those that came until then
        x = arrived + SLO - now
        if due <= 0 or x < ready_after(BOOT, 1) + LEAST_SLACK:
            continue
        x += SLO / POINTS  # deadlines are checked at as many times
        done = RATE * sum(max(0.0, x - r) for r in serving)
        assert done >= due - 0.1 * RATE


@given(history=HISTORIES, there=st.integers(0, 6), share=st.floats(0, 1), more=st.integers(1, 50))
def test_required_machines_grow_with_the_backlog(
    history: list[tuple[float, int]], there: int, share: float, more: int
) -> None:
    totals = totals_of(history)
    waiting = int(share * totals[-1][1])
    capacity = Capacity((0.0,) * there, RATE, BOOT)

    def machines(count: int) -> int:
        return required(deadlines(count, totals, NONE, SLO, BOOT), capacity).machines

    assert machines(0) == 0
    assert machines(min(int(totals[-1][1]), waiting + more)) >= machines(waiting)


@given(history=HISTORIES, rate=st.floats(0, 40), lasted=st.floats(4, 300))
def test_expected_arrivals_only_add_machines(
    history: list[tuple[float, int]], rate: float, lasted: float
) -> None:
    totals, capacity = totals_of(history), Capacity((0.0, 0.0), RATE, BOOT)
    alone = required(deadlines(totals[-1][1], totals, NONE, SLO, BOOT), capacity)
    arriving = Stream(rate, lasted)
    both = required(deadlines(totals[-1][1], totals, arriving, SLO, BOOT), capacity)
    assert both.machines >= alone.machines
    assert arriving.expected(BOOT) <= rate * BOOT + 1e-9


def test_old_photos_are_more_urgent_than_new_ones() -> None:
    """100 photos that arrived now leave two machines time; had they come 50 s ago, none would."""
    capacity = Capacity((0.0, 0.0), RATE, BOOT)
    new = deadlines(100, [(0.0, 0.0), (50.0, 100.0)], NONE, SLO, BOOT)
    assert required(new, capacity).machines == 1
    old = deadlines(100, [(0.0, 0.0), (1.0, 100.0), (50.0, 100.0)], NONE, SLO, BOOT)
    assert required(old, capacity).machines >= 2


def test_photos_expected_during_a_boot_have_their_own_minute() -> None:
    """Of a steady 12 a second, those of the next 37 s do not ask for machines beyond the rate."""
    steady = Stream(12.0, 300.0)
    totals = [(2.0 * i, 24.0 * i) for i in range(100)]
    photos = deadlines(0, totals, steady, SLO, BOOT)
    assert required(photos, Capacity((0.0,) * 3, RATE, BOOT)).machines == 3


def test_a_burst_that_has_just_begun_is_no_steady_stream() -> None:
    young, old = Stream(20.0, 4.0), Stream(20.0, 150.0)
    assert young.expected(36.6) < 0.3 * old.expected(36.6)
    assert old.expected(36.6) == 20.0 * 36.6


def test_slower_boots_ask_for_no_fewer_machines() -> None:
    totals = [(0.0, 0.0), (100.0, 0.0), (102.0, 200.0)]
    found = [
        required(deadlines(200, totals, NONE, SLO - 6, boot), Capacity((), RATE, boot)).machines
        for boot in (30.0, 34.0, 37.0, 38.0, 41.0, 44.0)
    ]
    assert found == sorted(found), "the machines it cannot count on were not asked for at all"
