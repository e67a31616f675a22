"""Spans of time and their one JSON form."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from facerec_tasks.video.timeline import MOST_SPANS, PersonInVideo, merged, together

PERSON = TypeAdapter(PersonInVideo)
SPANS = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 60)).map(lambda s: (s[0], s[0] + s[1])))


@given(SPANS)
def test_merged_spans_ascend_lie_apart_and_cover_all(spans: list[tuple[float, float]]) -> None:
    found = merged(spans)
    assert all(one[1] < other[0] for one, other in pairwise(found))
    assert all(any(b <= begin and end <= e for b, e in found) for begin, end in spans)


def test_very_many_spans_are_made_fewer() -> None:
    found = merged([(float(2 * n), 2 * n + 0.5) for n in range(5 * MOST_SPANS)])
    assert 1 <= len(found) <= MOST_SPANS
    assert (found[0][0], found[-1][1]) == (0.0, 2 * (5 * MOST_SPANS - 1) + 0.5)


def test_time_together() -> None:
    assert together([(0, 2), (5, 9)], [(1, 6)]) == 2
    assert together([(0, 2)], [(2, 3)]) == 0


def test_a_person_survives_json() -> None:
    person = PersonInVideo("Ada", True, 0.9, ((0.0, 1.5), (3.0, 4.0)), 7, "video/x/0.jpg")
    assert PERSON.validate_json(json.dumps(person.to_dict())) == person
    assert person.seconds == 2.5


@pytest.mark.parametrize("wrong", [{}, {"name": "x"}, {"name": 1, "spans": 3}])
def test_what_is_no_person_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PERSON.validate_python(wrong)
