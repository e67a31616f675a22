"""Responses to requests that never reach the application, with the same words and headers."""

import json
import uuid

from webapp.http.errors import Problem
from webapp.http.responses import wants_json

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every response that does not set its own."""


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
