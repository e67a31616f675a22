"""The API in OpenAPI 3.1, as ``GET /openapi.json`` serves it. Tests hold every word of it."""

from facerec_tasks.schemas import CANDIDATES, MOST_CANDIDATES
from webapp.http.errors import STATUS
from webapp.http.openapi_parts import ANY as _ANY
from webapp.http.openapi_parts import NUMBER as _NUMBER
from webapp.http.openapi_parts import REQUEST as _REQUEST
from webapp.http.openapi_parts import REQUEST_AND_TASK as _REQUEST_AND_TASK
from webapp.http.openapi_parts import TASK_ID as _TASK_ID
from webapp.http.openapi_parts import TEXT as _TEXT
from webapp.http.openapi_parts import UPLOAD as _UPLOAD
from webapp.http.openapi_parts import Schema
from webapp.http.openapi_parts import content as _content
from webapp.http.openapi_parts import files as _files
from webapp.http.openapi_parts import flag as _flag
from webapp.http.openapi_parts import form as _form
from webapp.http.openapi_parts import json as _json
from webapp.http.openapi_parts import list_ as _list
from webapp.http.openapi_parts import object_ as _object
from webapp.http.openapi_parts import operation as _operation
from webapp.http.openapi_parts import path as _path
from webapp.http.openapi_parts import pending as _pending
from webapp.http.openapi_parts import problems as _problems
from webapp.http.openapi_parts import ref as _ref
from webapp.http.openapi_v1 import paths_v1, schemas_v1

TITLE = "facerec"
VERSION = "1.0.0"


def document() -> Schema:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "description": "A photo in, who is on it out. Text unless JSON is asked for.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"header": []}, {}],
        "paths": {
            "/": {"post": _recognize()},
            "/results/{task_id}": {"get": _result(), "delete": _cancel()},
            "/results/{task_id}/{picture}": {"get": _picture()},
            "/people": {"get": _people(), "post": _enrol()},
            "/people/{name}": {"patch": _rename(), "delete": _forget()},
            "/people/{name}/photos/{number}": {"get": _photo()},
            "/people/{name}/verify": {"post": _verify()},
            "/healthz": {"get": _status("alive", "This process answers.")},
            "/readyz": {"get": _readiness()},
            "/openapi.json": {"get": _operation("describe", "This description.", _json("object"))},
            **paths_v1(),
        },
        "components": {
            "schemas": _schemas() | schemas_v1(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


# Operations


def _recognize() -> Schema:
    answers = {
        "200": _content(
            "Who is on it.",
            _REQUEST_AND_TASK,
            **{
                "text/plain": _TEXT | {"pattern": "^.+:.+$"},
                "application/json": _ref("Answer"),
                "application/x-ndjson": _TEXT,
            },
        ),
        "202": _pending(),
    }
    return {
        "operationId": "recognize",
        "summary": "Who is on this photo, or in this video?",
        "description": "A video that takes longer than the request waits is answered 504 with the "
        "id of its result. Several photos are answered in lines of JSON, each when it is known.",
        "parameters": [
            _flag("wait", "0: answer 202 at once, with the address of the result."),
            _candidates(),
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same photo is one photo.",
                "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,200}$"},
            },
        ],
        "requestBody": _form({"inputFile": _files(100)}, ["inputFile"]),
        "responses": answers | _problems(*_UPLOAD, 408, 409, 410, 422, 500, 504),
    }


def _result() -> Schema:
    task_id = _path("task_id", {"type": "string", "pattern": _TASK_ID})
    answers = {
        "200": _content(
            "The answer on record.",
            _REQUEST_AND_TASK,
            **{"text/plain": _TEXT, "application/json": _ref("Answer")},
        ),
        "202": _pending(),
    }
    summary = "The answer of a task, later."
    problems = _problems(*_ANY, 400, 404, 410, 415, 422, 500)
    return _operation("result", summary, answers | problems, [task_id, _candidates()])


def _cancel() -> Schema:
    task_id = _path("task_id", {"type": "string", "pattern": _TASK_ID})
    body = _object({"task_id": _TEXT, "outcome": {"const": "cancelled"}})
    kinds = {"text/plain": {"const": "cancelled"}, "application/json": body}
    answers = {"200": _content("Nobody wants it any more.", _REQUEST_AND_TASK, **kinds)}
    summary = "Cancel a task that has no answer yet."
    return _operation("cancel", summary, answers | _problems(*_ANY, 404, 409, 500), [task_id])


def _picture() -> Schema:
    task_id = _path("task_id", {"type": "string", "pattern": _TASK_ID})
    picture = _path("picture", {"type": "string", "pattern": r"^([0-9]{1,4}|sheet)\.jpg$"})
    answers = {"200": _content("Somebody in a video, or everybody.", **{"image/jpeg": {}})}
    summary = "A picture of a video's answer."
    return _operation("picture", summary, answers | _problems(*_ANY, 404, 500), [task_id, picture])


def _people() -> Schema:
    answers = {
        "200": _content(
            "Everybody who is known.",
            **{"text/plain": _TEXT, "application/json": _ref("People")},
        )
    }
    return _operation("people", "Who is known?", answers | _problems(*_ANY, 500))


def _enrol() -> Schema:
    name = {"type": "string", "minLength": 1, "maxLength": 200}
    answers = {
        "201": _content(
            "Enrolled.",
            **{"text/plain": _TEXT, "application/json": _ref("Enrolment")},
        )
    }
    return {
        "operationId": "enrol",
        "summary": "Enrol photos of a person.",
        "parameters": [_flag("force", "1: also small, blurred and look-alike faces.")],
        "requestBody": _form({"name": name, "inputFile": _files(20)}, ["name", "inputFile"]),
        "responses": answers | _problems(*_UPLOAD, 408, 409, 410, 422, 500, 504),
    }


def _forget() -> Schema:
    answers = {"204": {"description": "Forgotten.", "headers": _REQUEST}}
    problems = _problems(*_ANY, 400, 404, 409, 422, 500, 504)
    return _operation("forget", "Forget a person.", answers | problems, [_name()])


def _rename() -> Schema:
    answers = {
        "200": _content(
            "Renamed.",
            **{"text/plain": _TEXT, "application/json": _object({"name": _TEXT})},
        )
    }
    problems = _problems(*_ANY, 400, 404, 408, 409, 413, 415, 422, 500, 504)
    operation = _operation("rename", "Give a person another name.", answers | problems, [_name()])
    new = {"type": "string", "minLength": 1, "maxLength": 200}
    return operation | {"requestBody": _form({"name": new}, ["name"])}


def _photo() -> Schema:
    picture: Schema = {}
    kinds = {f"image/{kind}": picture for kind in ("jpeg", "png", "gif", "webp", "bmp", "tiff")}
    answers = {"200": _content("As it was enrolled.", **kinds)}
    number = _path("number", {"type": "integer", "minimum": 0})
    problems = _problems(*_ANY, 400, 404, 405, 500)  # 405: a number below 0 is part of the name
    return _operation("photo", "A photo of a person.", answers | problems, [_name(), number])


def _verify() -> Schema:
    answers = {
        "200": _content(
            "Whether the largest face is that person's.",
            **{
                "text/plain": _TEXT | {"enum": ["same", "different", "undecided", "no-face"]},
                "application/json": _ref("Verification"),
            },
        )
    }
    return {
        "operationId": "verify",
        "summary": "Is this that person?",
        "parameters": [_name()],
        "requestBody": _form({"inputFile": _files(1)}, ["inputFile"]),
        "responses": answers | _problems(*_UPLOAD, 404, 408, 409, 410, 422, 500, 504),
    }


def _readiness() -> Schema:
    unready = _content(
        "What is missing.", **{"text/plain": _TEXT, "application/json": _ref("Status")}
    )
    ready = _status("ready", "A photo can be served now.")
    return ready | {"responses": ready["responses"] | {"503": unready}}


def _status(name: str, summary: str) -> Schema:
    answers = {"200": _content("Yes.", **{"text/plain": _TEXT, "application/json": _ref("Status")})}
    return _operation(name, summary, answers | _problems(429))


def _candidates() -> Schema:
    return {
        "name": "candidates",
        "in": "query",
        "description": "How many of the nearest people are listed for each face.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_CANDIDATES,
            "default": CANDIDATES,
        },
    }


def _name() -> Schema:
    return _path("name", {"type": "string", "minLength": 1, "maxLength": 200})


# Schemas


def _schemas() -> Schema:
    outcome = {"enum": ["named", "unknown", "no-face"]}
    count = {"type": "integer", "minimum": 0}
    nullable = {"type": ["number", "null"]}
    point = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
    box = {"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 4}
    face = _object(
        {"name": _TEXT, "box": box, "landmarks": _list(point), "score": _NUMBER},
        {
            "distance": nullable,
            "confidence": nullable,
            "runner_up": {"type": ["string", "null"]},
            "runner_up_distance": nullable,
            "candidates": _list(_ref("Candidate")),
            "hint": {"type": ["string", "null"]},
            "visible": {"type": ["number", "null"]},
            "reason": {"type": ["string", "null"]},
        },
    )
    candidate = _object(
        {"name": _TEXT, "distance": _NUMBER, "similarity": _NUMBER, "confidence": _NUMBER}
    )
    return {
        "Face": face,
        "Candidate": candidate,
        "Answer": _object(
            {
                "task_id": _TEXT | {"pattern": _TASK_ID},
                "key": _TEXT,
                "stem": _TEXT,
                "text": _TEXT,
                "outcome": outcome,
            },
            {
                "name": _TEXT,
                "faces": _list(_ref("Face")),
                "people": _list(_ref("SeenPerson")),
                "video": _ref("Video"),
                "left_out": count,
                "frame": count,
                "width": count,
                "height": count,
                "engine": _TEXT,
                "request_id": _TEXT,
                "finished_at": _NUMBER,
                "seconds": _NUMBER,
            },
        ),
        "SeenPerson": _object(
            {
                "name": _TEXT,
                "known": {"type": "boolean"},
                "confidence": _NUMBER,
                "seconds": _NUMBER,
                "frames": count,
                "spans": _list(point),
            },
            {"crop": _TEXT},
        ),
        "Video": _object(
            {
                "container": _TEXT,
                "codec": _TEXT,
                "seconds": _NUMBER,
                "frames_analyzed": count,
                "complete": {"type": "boolean"},
                "sheet": _TEXT,
            },
            {"frame_rate": nullable},
        ),
        "Pending": _object(
            {"task_id": _TEXT, "outcome": {"const": "pending"}, "result": _TEXT},
            {
                "percent": {"type": ["integer", "null"]},
                "time": _NUMBER,
                "people": _list(_TEXT),
                "frames_analyzed": count,
                "at": _NUMBER,
            },
        ),
        "People": _object({"people": _list(_object({"name": _TEXT, "photos": count}))}),
        "Enrolment": _object(
            {"name": _TEXT, "photos": count, "enrolled": count, "refused": _list(_ref("Refusal"))},
            {"hint": {"const": "second-photo"}},
        ),
        "Refusal": _object({"index": count, "reason": _TEXT, "message": _TEXT}),
        "Verification": _object(
            {"name": _TEXT, "outcome": {"enum": ["same", "different", "undecided", "no-face"]}},
            {"distance": _NUMBER, "threshold": nullable},
        ),
        "Status": _object({"status": _TEXT}, {"missing": _list(_TEXT)}),
        "Problem": _object(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "code": {"enum": sorted(STATUS)},
                "detail": _TEXT,
                "instance": _TEXT,
            },
            {"task_id": _TEXT, "refused": _list(_ref("Refusal"))},
        ),
    }
