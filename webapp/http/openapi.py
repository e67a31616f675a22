"""The API in OpenAPI 3.1, as ``GET /openapi.json`` serves it: made from the routes.

Of a view it takes the docstring, the kinds of its responses and the types of their bodies
(:mod:`.schemas`, :mod:`.responses`), and its :class:`.Operation`. Schemas of types are pydantic's.
"""

import re
from collections.abc import Callable
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from flask import Flask
from pydantic import ConfigDict, create_model
from pydantic.json_schema import GenerateJsonSchema
from werkzeug.routing import Rule

from webapp.http.errors import STATUS, ProblemDetails
from webapp.http.operation import COLLECTION, ID, NAME, PHOTO, Operation, Schema
from webapp.http.photos import PICTURE
from webapp.http.responses import IMAGES, JSON, TEXT, AcceptedResponse
from webapp.http.schemas import TASK_ID

VERSION = "1.0.0"
VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
"""What varies in the pattern of a route."""
STRING: Schema = {"type": "string"}
PATHS: dict[str, Schema] = {
    "task_id": STRING | {"pattern": f"^{TASK_ID}$"},
    "picture": STRING | {"pattern": f"^{PICTURE.pattern}$"},
    "name": NAME,
    "number": {"type": "integer", "minimum": 0},
    "person": ID,
    "face": ID,
    "task": ID,
    "group": ID,
    "collection": COLLECTION,
}
"""The parts of addresses that vary."""


def document(app: Flask) -> Schema:
    """The whole description."""
    bodies: dict[str, type] = {ProblemDetails.__name__: ProblemDetails}
    paths: Schema = {}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation: Operation | None = getattr(view, "operation", None)
        if operation is not None:  # neither a page nor a figure for machines
            path = VARIABLE.sub(r"{\1}", rule.rule)
            (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            paths.setdefault(path, {})[method.lower()] = _described(operation, view, rule, bodies)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "facerec",
            "version": VERSION,
            "description": "A photo in, who is on it out. Text unless JSON is asked for.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"header": []}, {}],
        "paths": paths,
        "components": {
            "schemas": _schemas(bodies),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _described(
    operation: Operation, view: Callable[..., Any], rule: Rule, bodies: dict[str, type]
) -> Schema:
    summary, _, description = _prose(view).partition("\n\n")
    parameters: list[Schema] = [
        *(
            {"name": n, "in": "path", "required": True, "schema": PATHS[n]}
            for n in VARIABLE.findall(rule.rule)
        ),
        *(
            {"name": p.name, "in": "query", "description": p.description, "schema": p.schema}
            for p in operation.parameters
        ),
        *(
            {"name": n, "in": "header", "description": d, "schema": STRING | {"pattern": p}}
            for n, d, p in operation.headers
        ),
    ]
    # Else it is an operation of the default collection, too, with the same id.
    is_of_each = rule.rule.startswith("/v1/collections/<collection>/")
    made: Schema = {
        "operationId": operation.id + ("InCollection" if is_of_each else ""),
        "summary": " ".join(summary.split()),
        "responses": _responses(operation, view, bodies) | _problems(operation),
    }
    if description:
        made["description"] = " ".join(description.split())
    if parameters:
        made["parameters"] = parameters
    if operation.form:
        made["requestBody"] = _form(operation, operation.form)
    return made | ({"deprecated": True} if operation.deprecated else {})


def _prose(view: Callable[..., Any]) -> str:
    """The docstring after the address at its beginning, without marks of code."""
    said = (view.__doc__ or "").partition("``: ")[2].replace("``", "")
    return said[:1].upper() + said[1:]


def _responses(operation: Operation, view: Callable[..., Any], bodies: dict[str, type]) -> Schema:
    """By status, of every kind the view's annotation names."""
    given = get_type_hints(view)["return"]
    found: Schema = {}
    for kind in get_args(given) if get_origin(given) in (Union, UnionType) else (given,):
        response = get_origin(kind) or kind
        body: Schema = {"type": "object"}
        for type_ in get_args(kind):
            bodies[type_.__name__] = type_
            body = _ref(type_)
        schemas = {TEXT: operation.text or STRING, JSON: body, "application/x-ndjson": STRING}
        if response is AcceptedResponse:
            schemas[TEXT] = STRING
        content = {media: {"schema": schemas.get(media, {})} for media in response.media}
        headers = _headers(operation.has_task) | (_WHEN if response is AcceptedResponse else {})
        made = found.setdefault(
            str(response.default_status),
            {"description": response.__doc__, "headers": headers, "content": {}},
        )
        made["content"] |= content
    return found


_WHEN: Schema = {
    "Location": {"required": True, "schema": STRING},
    "Retry-After": {"required": True, "schema": STRING | {"pattern": "^[0-9]+$"}},
}


def _headers(has_task: bool) -> Schema:
    task = {"X-Task-ID": {"schema": PATHS["task_id"]}} if has_task else {}
    return {"X-Request-ID": {"required": True, "schema": STRING}, **task}


def _problems(operation: Operation) -> Schema:
    body = {TEXT: STRING, "application/problem+json": _ref(ProblemDetails)}
    return {
        str(status): {
            "description": ", ".join(sorted(code for code, its in STATUS.items() if its == status)),
            "headers": _headers(operation.has_task),
            "content": {media: {"schema": schema} for media, schema in body.items()},
        }
        for status in sorted(operation.problems)
    }


def _form(operation: Operation, fields: Schema) -> Schema:
    required = [name for name in fields if name not in operation.optional]
    schema = {"type": "object", "properties": fields, "required": required}
    raw = {kind: {"schema": PHOTO} for kind in (IMAGES if operation.is_raw else ())}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}, **raw}}


# Types


class _Untitled(GenerateJsonSchema):
    """Says no more than the names of fields do."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schemas(bodies: dict[str, type]) -> Schema:
    """Of the types, and of those they are made of."""
    fields: dict[str, Any] = {name: (type_, ...) for name, type_ in bodies.items()}
    root = create_model("Bodies", __config__=ConfigDict(use_attribute_docstrings=True), **fields)
    made: Schema = root.model_json_schema(
        ref_template="#/components/schemas/{model}",
        schema_generator=_Untitled,
        mode="serialization",
    )["$defs"]
    return made


def _ref(type_: type) -> Schema:
    return {"$ref": f"#/components/schemas/{type_.__name__}"}
