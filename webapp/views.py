"""The HTTP surface: reads requests, renders answers, decides nothing about photos."""

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from facerec_tasks import logs
from facerec_tasks.messages import Answer
from facerec_tasks.settings import Settings
from webapp import errors
from webapp.errors import Problem
from webapp.recogniser import ClientGone, Recogniser, nobody_left
from webapp.server import MULTIPART_OVERHEAD
from webapp.uploads import Upload, accept, stem

log = logging.getLogger(__name__)

FIELD = "inputFile"
CLIENT_GONE = 499
"""Status nobody reads, for the log: the client hung up. nginx's number."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KINDS = ["text/plain", "application/json"]


def create_app(settings: Settings, recogniser: Recogniser) -> Flask:
    """The application; ``recogniser`` is the process's only one."""
    app = Flask("webapp", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_bytes + MULTIPART_OVERHEAD
    app.config["MAX_FORM_MEMORY_SIZE"] = MULTIPART_OVERHEAD
    app.extensions["settings"] = settings
    app.extensions["recogniser"] = recogniser
    app.before_request(_begin)
    app.after_request(_end)
    app.register_error_handler(Exception, _failed)
    app.add_url_rule("/", view_func=recognise_photo, methods=["POST"])
    app.add_url_rule("/results/<task_id>", view_func=show_result)
    app.add_url_rule("/healthz", view_func=healthz)
    app.add_url_rule("/internal/ledger", view_func=show_ledger)
    return app


# The views


def recognise_photo() -> Response:
    """``POST /``: the photo in the field ``inputFile``; answers who is on it."""
    deadline = time.monotonic() + _settings().answer_timeout
    recogniser = _recogniser()
    if recogniser.stopping:
        raise errors.retry_later("stopping", "this process stops; try again")
    with recogniser.place():
        with recogniser.intake():
            accepted = recogniser.accept(_read_upload())
        g.task_id = accepted.task_id
        return _show(recogniser.wait(accepted, deadline, _client_gone()))


def show_result(task_id: str) -> Response:
    """``GET /results/<id>``: the answer on record. 202 while this process waits for it; else 404,
    since a record that is not there yet and one that never will be look the same."""
    if not _TASK_ID.fullmatch(task_id):
        raise Problem("result-unknown", "not the id of a task")
    g.task_id = task_id
    answer = _recogniser().result(task_id)
    if answer is not None:
        return _show(answer)
    if _recogniser().ledger.holds(task_id):
        return _render({"task_id": task_id, "outcome": "pending"}, "pending", status=202)
    raise Problem("result-unknown", "no answer on record, or not yet")


def healthz() -> Response:
    """``GET /healthz``: this process answers."""
    return _render({"status": "ok"}, "ok")


def show_ledger() -> Response:
    """``GET /internal/ledger``: accepted and not yet answered, per process."""
    return jsonify(_recogniser().ledger.report())


# Reading


def _read_upload() -> Upload:
    """The photo of the form; afterwards only the returned object holds its bytes."""
    try:
        file = request.files.get(FIELD)
        if file is None:
            raise Problem("field-missing", f"send the photo as multipart field {FIELD}")
        return accept(file.filename or "", file.read(), _settings().max_upload_bytes)
    finally:
        _drop_body()


def _drop_body() -> None:
    """Frees the server's and the form's copies: a waiting request holds no photo."""
    for file in request.files.values():
        file.close()
    request.__dict__.pop("files", None)
    body = request.environ["wsgi.input"]
    if hasattr(body, "truncate") and body.seekable():
        body.seek(0)
        body.truncate()


def _client_gone() -> Callable[[], bool]:
    """Tells whether the client hung up; waitress knows, other servers do not say."""
    gone: Callable[[], bool] = request.environ.get("waitress.client_disconnected", nobody_left)
    return gone


# Rendering


def _show(answer: Answer) -> Response:
    problem = errors.of_answer(answer)
    if problem is not None:
        raise problem
    name = stem(answer.key)
    document = {**answer.to_dict(), "stem": name, "text": f"{name}:{answer.text}"}
    for private in ("worker", "version", "history"):
        document.pop(private, None)
    return _render(document, f"{name}:{answer.text}")


def _render(document: dict[str, Any], text: str, status: int = 200) -> Response:
    if _wants_json():
        response = jsonify(document)
    else:
        response = Response(text, content_type="text/plain; charset=utf-8")
    response.status_code = status
    return response


def _wants_json() -> bool:
    if "application/problem+json" in request.accept_mimetypes.values():
        return True
    return request.accept_mimetypes.best_match(_KINDS, default=_KINDS[0]) == _KINDS[1]


def _failed(error: Exception) -> Response:
    if isinstance(error, ClientGone):
        return Response(status=CLIENT_GONE)
    problem = errors.of_exception(error) or _of_flask(error)
    if problem.status >= 500:
        log.warning("%s: %s", problem.code, error)
    if _wants_json():
        response = jsonify(problem.document(logs.request_id.get()))
        response.content_type = "application/problem+json"
    else:
        response = Response(problem.line, content_type="text/plain; charset=utf-8")
    response.status_code = problem.status
    response.headers.update(problem.headers)
    return response


def _of_flask(error: Exception) -> Problem:
    if isinstance(error, RequestEntityTooLarge):
        limit = _settings().max_upload_bytes
        return Problem("too-large", f"the photo has more than {limit} bytes")
    if isinstance(error, HTTPException):
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.code or 500, "bad-request")
        headers = {k: v for k, v in error.get_headers() if k == "Allow"}
        return Problem(code, (error.description or code).splitlines()[0], headers=headers)
    log.error("a bug", exc_info=error)
    return Problem("internal", "something is wrong on our side")


# Around every request


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    logs.request_id.set(given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
    g.began = time.monotonic()


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = logs.request_id.get()
    if "task_id" in g:
        response.headers["X-Task-ID"] = g.task_id
    took = time.monotonic() - g.began
    level = logging.DEBUG if request.path in ("/healthz", "/internal/ledger") else logging.INFO
    log.log(level, "%s %s %d %.3f s", request.method, request.path, response.status_code, took)
    return response


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _recogniser() -> Recogniser:
    recogniser: Recogniser = current_app.extensions["recogniser"]
    return recogniser
