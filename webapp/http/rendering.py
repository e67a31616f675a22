"""Answers and problems as text or JSON, whichever the client asked for."""

import re
from contextvars import ContextVar
from dataclasses import replace
from typing import cast

from flask import Response, g, request

from facerec_tasks import logs
from facerec_tasks.schemas import CANDIDATES, Answer
from facerec_tasks.storage import layout
from webapp.http import errors
from webapp.http.errors import Problem
from webapp.http.refusals import refusal_response
from webapp.http.responses import Rendered
from webapp.http.schemas import AnswerDocument, SeenPerson
from webapp.http.uploads import stem

url_prefix: ContextVar[str] = ContextVar("url_prefix", default="")
"""Path below which a proxy publishes the service; valid while a response is streamed, too."""
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


def problem(found: Problem) -> Response:
    """A problem document or one plain line."""
    g.outcome = found.code
    accept = request.headers.get("Accept", "")
    status, headers, body = refusal_response(found, accept, logs.request_id.get())
    return Response(body, status, headers)
