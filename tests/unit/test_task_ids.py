"""Task ids sort by time and are UUIDs of version 7."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from facerec_tasks.task_ids import accepted_at, first_task_id, new_task_id, sorts_by_time

MOMENTS = st.integers(min_value=0, max_value=(1 << 48) - 1)


@given(MOMENTS)
def test_an_id_tells_its_time(milliseconds: int) -> None:
    made = new_task_id(milliseconds / 1000)
    found = uuid.UUID(made)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert sorts_by_time(made)
    assert abs(accepted_at(made) - milliseconds / 1000) < 0.002


@given(MOMENTS, MOMENTS)
def test_ids_sort_as_their_times_do(one: int, other: int) -> None:
    ids = sorted([(new_task_id(one / 1000), one), (new_task_id(other / 1000), other)])
    assert ids[0][1] <= ids[1][1] or one == other
    assert first_task_id(one) <= new_task_id((one + 0.5) / 1000)


def test_other_ids_do_not_sort_by_time() -> None:
    assert not sorts_by_time(str(uuid.uuid4()))
    assert not sorts_by_time("results")
