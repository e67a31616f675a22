"""What can go wrong with a request: one closed list of codes, each with its status.

A code is what programs branch on; it is the same in the plain line, in the problem document
(RFC 9457), in the log and, for what the engine finds wrong with a photo, in the record.
"""

import logging
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from facerec_tasks.errors import AnswerLate, AwsError, ConfigurationError, Overloaded
from facerec_tasks.schemas import Answer
from webapp.http.schemas import Refusal

log = logging.getLogger(__name__)

STATUS: dict[str, int] = {
    # the request
    "bad-request": 400,
    "field-missing": 400,
    "empty": 400,
    "too-many-files": 400,
    "bad-name": 400,
    "key-missing": 401,
    "key-unknown": 401,
    "scope-missing": 403,
    "bad-signature": 403,
    "cross-site": 403,
    "forwarded": 403,
    "unknown-host": 421,
    "not-found": 404,
    "method-not-allowed": 405,
    "too-slow": 408,
    "in-progress": 409,
    "name-taken": 409,
    "engine-mismatch": 409,
    "too-large": 413,
    "key-reused": 422,
    "rate-limited": 429,
    "head-too-large": 431,
    # the photo: judged by its first bytes in the web tier, by all of it in the worker
    "not-a-picture": 415,
    "unsupported-format": 415,
    "broken-picture": 422,
    "too-many-pixels": 422,
    "not-a-video": 415,
    "unsupported-codec": 415,
    "no-video-stream": 422,
    "no-frames": 422,
    "broken-video": 422,
    "truncated-video": 422,
    "too-long": 422,
    "too-costly": 422,
    "crashed-decoder": 422,
    "photo-gone": 410,
    "cancelled": 410,
    "answered-already": 409,
    "poison": 422,
    "no-photo-taken": 422,
    # the system
    "internal": 500,
    "unknown-coding": 501,
    "overloaded": 503,
    "stopping": 503,
    "aws-unavailable": 503,
    "not-set-up": 503,
    "late": 504,
    "storage-full": 507,
    # what is asked for
    "result-unknown": 404,
    "no-such-person": 404,
    "no-such-face": 404,
    "no-such-collection": 404,
    "collection-exists": 409,
    "ambiguous-name": 409,
    "nothing-to-undo": 409,
    "no-face": 422,
}
"""Every code and the HTTP status it is answered with."""

RETRY_AFTER = 5
"""Seconds a client is asked to wait when AWS or this process cannot take a photo now; about what a
worker needs from launch to its first answer."""


class ProblemDetails(TypedDict):
    """What is wrong, as RFC 9457 writes it."""

    type: str
    """Relative to the service."""
    title: str
    status: int
    code: Annotated[str, Field(json_schema_extra={"enum": [*sorted(STATUS)]})]
    detail: str
    instance: str
    """Of this request."""
    task_id: NotRequired[str]
    refused: NotRequired[list[Refusal]]
    ids: NotRequired[list[str]]
    """The people of an ambiguous name."""
    reason: NotRequired[str]


@dataclass(eq=False)  # not frozen: Python sets the traceback of what is raised
class Problem(Exception):
    """An answer that is an error; raised in views, rendered once, in text or JSON."""

    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Further members of the problem document."""
    foreign: tuple[str, bytes] | None = None
    """Media type and body in the place of that document, for a client of another protocol."""

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def document(self, instance: str) -> ProblemDetails:
        """``instance`` is the request's id."""
        found: ProblemDetails = {
            "type": f"/problems/{self.code}",
            "title": self.code.replace("-", " "),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "instance": f"urn:request:{instance}",
        }
        return cast(ProblemDetails, {**found, **self.more})

    @property
    def line(self) -> str:
        """The one plain line of text."""
        return f"{self.code}: {self.detail}\n"


def retry_later(code: str, detail: str, seconds: int = RETRY_AFTER) -> Problem:
    return Problem(code, detail, headers={"Retry-After": str(seconds)})


def of_answer(answer: Answer) -> Problem | None:
    """Response to a rejected or dead-lettered photo; None when the answer is about a face."""
    if answer.text is not None:
        return None
    code = answer.code if answer.code in STATUS else "broken-picture"
    more = {"task_id": answer.task_id}
    if answer.code != code:
        more["reason"] = str(answer.code)
    return Problem(code, answer.detail or code, more=more)


def of_exception(error: Exception) -> Problem:
    """The problem an exception stands for. A bug of ours is told in the log, not to the client."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Overloaded):
        return retry_later("overloaded", str(error), error.retry_after)
    if isinstance(error, AnswerLate):
        return Problem("late", str(error), more={"task_id": error.task_id})
    if isinstance(error, ConfigurationError):
        return retry_later("not-set-up", str(error))
    if isinstance(error, AwsError):
        return retry_later("aws-unavailable", "the photo was not accepted; try again")
    if isinstance(error, HTTPException):
        return _of_flask(error)
    log.error("a bug", exc_info=error)
    return Problem("internal", "something is wrong on our side")


def _of_flask(error: HTTPException) -> Problem:
    if isinstance(error, RequestEntityTooLarge):
        return Problem("too-large", "the request has more bytes, or more fields, than allowed")
    code = {404: "not-found", 405: "method-not-allowed"}.get(error.code or 500, "bad-request")
    headers = {k: v for k, v in error.get_headers() if k == "Allow"}
    return Problem(code, (error.description or code).splitlines()[0].rstrip("."), headers)
