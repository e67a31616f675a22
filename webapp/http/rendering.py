"""Answers and problems as text or JSON, whichever the client asked for."""

import json
import re
import uuid
from contextvars import ContextVar
from dataclasses import replace
from typing import cast

from flask import Response, g, request

from facerec_tasks import logs
from facerec_tasks.schemas import CANDIDATES, Answer
from facerec_tasks.storage import layout
from webapp.http import errors
from webapp.http.errors import Problem
from webapp.http.responses import Rendered, wants_json
from webapp.http.schemas import AnswerDocument, SeenPerson
from webapp.http.uploads import stem

url_prefix: ContextVar[str] = ContextVar("url_prefix", default="")
"""Path below which a proxy publishes the service; valid while a response is streamed, too."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every response that does not set its own."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def show(answer: Answer, candidates: int = CANDIDATES) -> Rendered[AnswerDocument]:
    """The answer to a photo or video, see :func:`document`."""
    body = document(answer, candidates)
    g.outcome = answer.outcome
    return Rendered(body, body["text"])


def document(answer: Answer, candidates: int = CANDIDATES) -> AnswerDocument:
    """What programs get: the members of the type, no others. Raises the :class:`Problem` a refused
    photo is.

    ``candidates``: how many people are listed for each face.
    """
    refusal = errors.of_answer(answer)
    if refusal is not None:
        raise refusal
    name = stem(answer.key)
    faces = tuple(replace(face, candidates=face.candidates[:candidates]) for face in answer.faces)
    answer = replace(answer, faces=faces).shown
    found = {**answer.to_dict(), "stem": name, "text": f"{name}:{answer.text}"}
    if answer.video is not None:
        found["video"] = found["video"] | {"sheet": _address(answer.video.sheet)}
        found["people"] = [_with_address(person) for person in found.get("people", ())]
    shown = {k: v for k, v in found.items() if k in AnswerDocument.__annotations__}
    return cast(AnswerDocument, shown)


def _with_address(person: SeenPerson) -> SeenPerson:
    return {**person, "crop": _address(person["crop"])} if "crop" in person else person


def _address(name: str) -> str:
    """Where the web tier shows a picture of ``video/<task id>/``."""
    return f"{url_prefix.get()}/results/{name.removeprefix(layout.VIDEO)}"


def refusal_response(
    problem: Problem, accept: str, request_id: str | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body; ``accept`` is the client's ``Accept`` header."""
    identifier = request_id or uuid.uuid4().hex
    if problem.foreign is not None:
        kind, body = problem.foreign
    elif wants_json(accept):
        kind = "application/problem+json"
        body = json.dumps(problem.document(identifier)).encode()
    else:
        kind, body = "text/plain; charset=utf-8", problem.line.encode()
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "X-Request-ID": identifier,
        **SECURITY_HEADERS,
        **problem.headers,
    }
    return problem.status, list(headers.items()), body


def problem(found: Problem) -> Response:
    """A problem document or one plain line."""
    g.outcome = found.code
    accept = request.headers.get("Accept", "")
    status, headers, body = refusal_response(found, accept, logs.request_id.get())
    return Response(body, status, headers)
