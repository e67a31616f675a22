"""``?candidates=k``: how many of the nearest people an answer lists."""

import pytest
from flask import Flask

from facerec_tasks.schemas import Answer, Candidate, Face
from webapp.http.errors import Problem
from webapp.http.parameters import CANDIDATES_OF_FACE
from webapp.http.rendering import document

NEAREST = tuple(Candidate(f"p{n}", n / 10, 50.0, 0.1) for n in range(10))
ANSWER = Answer(
    task_id="t", key="a.jpg", version=None, outcome="unknown",
    faces=(
        Face("unknown", (0, 0, 1, 1), ((0, 0),) * 5, 1.0, candidates=NEAREST, hint="second-photo"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "count"), [("", 3), ("?candidates=1", 1), ("?candidates=10", 10)]
)
def test_candidates_parameter_limits_the_list(query: str, count: int) -> None:
    with Flask("test").test_request_context(f"/{query}"):
        shown = document(ANSWER, CANDIDATES_OF_FACE())
    (face,) = shown["faces"]
    assert [one["name"] for one in face["candidates"]] == [f"p{n}" for n in range(count)]
    assert face["hint"] == "second-photo"


@pytest.mark.parametrize("given", ["0", "11", "-1", "x", "", "1.0", "٣", "9" * 5000])
def test_candidates_parameter_refuses_other_numbers(given: str) -> None:
    request = Flask("test").test_request_context("/", query_string={"candidates": given})
    with request, pytest.raises(Problem) as refused:
        CANDIDATES_OF_FACE()
    assert refused.value.code == "bad-request"


def test_candidates_survive_the_record_and_older_records_have_none() -> None:
    assert Answer.from_json(ANSWER.to_json()) == ANSWER
    fields = ANSWER.to_dict()
    for face in fields["faces"]:
        del face["candidates"], face["hint"]
    assert Answer.from_dict(fields).faces[0].candidates == ()
