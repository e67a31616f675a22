"""The API in OpenAPI 3.1, as ``GET /openapi.json`` serves it. Tests hold every word of it."""

from typing import Any

from facerec_tasks.schemas import CANDIDATES, MOST_CANDIDATES
from webapp.http.errors import STATUS

Schema = dict[str, Any]

TITLE = "facerec"
VERSION = "1.0.0"
_TASK_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}


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
        },
        "components": {
            "schemas": _schemas(),
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
                "text/plain": _TEXT | {"enum": ["same", "different", "no-face"]},
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


def _operation(
    name: str, summary: str, responses: Schema, parameters: list[Schema] | None = None
) -> Schema:
    found: Schema = {"operationId": name, "summary": summary, "responses": responses}
    return found | ({"parameters": parameters} if parameters else {})


# Their parts

_ANY = (401, 403, 429, 503)
_UPLOAD = (*_ANY, 400, 413, 415)
_REQUEST: Schema = {"X-Request-ID": {"required": True, "schema": _TEXT}}
_REQUEST_AND_TASK: Schema = _REQUEST | {"X-Task-ID": {"schema": _TEXT | {"pattern": _TASK_ID}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(description: str, headers: Schema = _REQUEST, **kinds: Schema) -> Schema:
    content = {kind: {"schema": schema} for kind, schema in kinds.items()}
    return {"description": description, "headers": headers, "content": content}


def _json(kind: str) -> Schema:
    return {"200": _content("It.", **{"application/json": {"type": kind}})}


def _pending() -> Schema:
    where = {"Location": {"required": True, "schema": _TEXT}}
    again = {"Retry-After": {"required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    return _content(
        "Accepted; the answer is to come.",
        _REQUEST_AND_TASK | where | again,
        **{"text/plain": _TEXT, "application/json": _ref("Pending")},
    )


def _problems(*statuses: int) -> Schema:
    return {
        str(status): _content(
            ", ".join(sorted(code for code, its in STATUS.items() if its == status)),
            _REQUEST_AND_TASK,
            **{"text/plain": _TEXT, "application/problem+json": _ref("Problem")},
        )
        for status in sorted(statuses)
    }


def _form(properties: Schema, required: list[str]) -> Schema:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _files(most: int) -> Schema:
    photo: Schema = {"type": "string", "format": "binary"}
    return {"type": "array", "items": photo, "minItems": 1, "maxItems": most} if most > 1 else photo


def _flag(name: str, description: str) -> Schema:
    choice = {"type": "string", "enum": ["0", "1"]}
    return {"name": name, "in": "query", "description": description, "schema": choice}


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


def _path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _name() -> Schema:
    return _path("name", {"type": "string", "minLength": 1, "maxLength": 200})


# Schemas


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    """What is named is there; more may come in a later version."""
    properties = required | (optional or {})
    return {"type": "object", "required": list(required), "properties": properties}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


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
            {"name": _TEXT, "outcome": {"enum": ["same", "different", "no-face"]}},
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
