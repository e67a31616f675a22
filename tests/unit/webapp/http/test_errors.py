import pytest

from facerec_tasks.errors import AnswerLate, Forbidden, Overloaded, Unavailable
from facerec_tasks.recognition.rejection import RejectionCode
from facerec_tasks.schemas import Answer
from webapp.http import errors
from webapp.http.errors import STATUS, Problem


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Overloaded(7), "overloaded", 503),
        (AnswerLate("the-task"), "late", 504),
        (Unavailable("s3"), "aws-unavailable", 503),
        (Forbidden("s3"), "aws-unavailable", 503),
        (Problem("field-missing", ""), "field-missing", 400),
    ],
)
def test_expected_exceptions_map_to_problems(error: Exception, code: str, status: int) -> None:
    problem = errors.of_exception(error)
    assert (problem.code, problem.status) == (code, status)


def test_unexpected_exception_is_told_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    problem = errors.of_exception(RuntimeError("a secret"))
    assert (problem.code, problem.status) == ("internal", 500)
    assert "secret" not in problem.line
    assert "a secret" in caplog.text


def test_503_has_retry_after() -> None:
    for error in (Overloaded(7), Unavailable("s3")):
        problem = errors.of_exception(error)
        assert int(problem.headers["Retry-After"]) > 0


def test_timeout_problem_has_task_id() -> None:
    problem = errors.of_exception(AnswerLate("the-task"))
    assert "the-task" in problem.line
    assert problem.document("r")["task_id"] == "the-task"


def test_problem_document_follows_rfc_9457() -> None:
    document = Problem("too-large", "more than 10 bytes").document("abc")
    assert document["type"] == "/problems/too-large"
    assert document["title"] == "too large"
    assert document["status"] == 413
    assert document["detail"] == "more than 10 bytes"
    assert document["instance"] == "urn:request:abc"


@pytest.mark.parametrize("outcome", ["named", "unknown", "no-face"])
def test_result_with_face_is_no_problem(outcome: str) -> None:
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
def test_rejected_photo_maps_to_its_code(answer: Answer, status: int) -> None:
    problem = errors.of_answer(answer)
    assert problem is not None
    assert problem.status == status
    assert problem.document("r")["task_id"] == "t"


def test_text_problem_is_one_line() -> None:
    assert all(Problem(code, "detail").line.count("\n") == 1 for code in STATUS)


def test_every_rejection_code_has_a_status() -> None:
    assert {str(code) for code in RejectionCode} <= set(STATUS)
