import pytest

from facerec_tasks.errors import AnswerLate, Forbidden, Overloaded, Unavailable
from facerec_tasks.recognition.images.decoding import FORMATS
from facerec_tasks.recognition.rejection import RejectionCode
from facerec_tasks.schemas import Answer
from webapp.http import errors
from webapp.http.errors import STATUS, Problem
from webapp.http.uploads import Refused, sniff

BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF    WEBP", b"BM", b"II*\x00")


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Refused("not-a-picture", ""), "not-a-picture", 415),
        (Overloaded(7), "overloaded", 503),
        (AnswerLate("the-task"), "late", 504),
        (Unavailable("s3"), "aws-unavailable", 503),
        (Forbidden("s3"), "aws-unavailable", 503),
        (Problem("field-missing", ""), "field-missing", 400),
    ],
)
def test_every_expected_exception_has_its_problem(error: Exception, code: str, status: int) -> None:
    problem = errors.of_exception(error)
    assert problem is not None
    assert (problem.code, problem.status) == (code, status)


def test_a_bug_is_nobodys_expected_problem() -> None:
    assert errors.of_exception(RuntimeError()) is None


def test_503_says_when_to_come_back() -> None:
    for error in (Overloaded(7), Unavailable("s3")):
        problem = errors.of_exception(error)
        assert problem is not None
        assert int(problem.headers["Retry-After"]) > 0


def test_a_late_answer_names_its_task() -> None:
    problem = errors.of_exception(AnswerLate("the-task"))
    assert problem is not None
    assert "the-task" in problem.line
    assert problem.document("r")["task_id"] == "the-task"


def test_the_document_is_the_one_of_rfc_9457() -> None:
    document = Problem("too-large", "more than 10 bytes").document("abc")
    assert document["type"] == "/problems/too-large"
    assert document["title"] == "too large"
    assert document["status"] == 413
    assert document["detail"] == "more than 10 bytes"
    assert document["instance"] == "urn:request:abc"


@pytest.mark.parametrize("outcome", ["named", "unknown", "no-face"])
def test_an_answer_about_a_face_is_no_problem(outcome: str) -> None:
    assert errors.of_answer(Answer("t", "k", "v", outcome, name="Paul")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer("t", "k", "v", "rejected", code="broken-picture"), 422),
        (Answer("t", "k", "v", "rejected", code="a-code-of-a-newer-worker"), 422),
        (Answer("t", "k", "v", "rejected", code="not-a-picture"), 415),
        (Answer("t", "k", "v", "poison", code="poison"), 422),
    ],
)
def test_a_refused_photo_is_answered_by_its_code(answer: Answer, status: int) -> None:
    problem = errors.of_answer(answer)
    assert problem is not None
    assert problem.status == status
    assert problem.document("r")["task_id"] == "t"


def test_a_line_is_one_line() -> None:
    assert all(Problem(code, "detail").line.count("\n") == 1 for code in STATUS)


def test_every_code_of_the_engine_has_its_status() -> None:
    assert {str(code) for code in RejectionCode} <= set(STATUS)


def test_what_is_accepted_by_its_first_bytes_is_what_the_engine_reads() -> None:
    accepted = (sniff(begin) for begin in BEGINNINGS)
    assert {str(kind).removeprefix("image/").upper() for kind in accepted} == set(FORMATS)
