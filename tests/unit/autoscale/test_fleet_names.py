"""Who gets which number."""

from hypothesis import given
from hypothesis import strategies as st

from autoscale.fleet import names_due
from autoscale.model import InstanceState, Machine


def member(n: int, number: int | None, state: InstanceState = "running") -> Machine:
    return Machine(f"i-{n:03d}", state, since=float(n), number=number)


def test_oldest_machine_gets_lowest_free_name() -> None:
    machines = [member(3, None), member(1, None), member(2, 2), member(4, None)]
    assert names_due(machines) == {"i-001": 1, "i-003": 3, "i-004": 4}


def test_stopped_machine_keeps_its_name_terminated_frees_it() -> None:
    machines = [member(1, 1, "stopped"), member(2, 2, "terminated"), member(3, None)]
    assert names_due(machines) == {"i-003": 2}


def test_duplicate_name_younger_machine_is_renamed() -> None:
    assert names_due([member(1, 1), member(2, 1)]) == {"i-002": 2}


@given(st.lists(st.one_of(st.none(), st.integers(1, 8)), max_size=20))
def test_names_are_unique_and_stable(numbers: list[int | None]) -> None:
    machines = [member(n, number) for n, number in enumerate(numbers)]
    due = names_due(machines)
    named = [member(n, due.get(m.id, m.number)) for n, m in enumerate(machines)]
    assert len({m.number for m in named}) == len(named)
    assert all(m.number for m in named)
    assert names_due(named) == {}
