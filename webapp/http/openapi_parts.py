"""What descriptions of operations are made of."""

from typing import Any

from webapp.http.errors import STATUS

Schema = dict[str, Any]

TASK_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}


ANY = (401, 403, 421, 429, 503)
UPLOAD = (*ANY, 400, 413, 415, 507)
REQUEST: Schema = {"X-Request-ID": {"required": True, "schema": TEXT}}
REQUEST_AND_TASK: Schema = REQUEST | {"X-Task-ID": {"schema": TEXT | {"pattern": TASK_ID}}}


def operation(
    name: str, summary: str, responses: Schema, parameters: list[Schema] | None = None
) -> Schema:
    found: Schema = {"operationId": name, "summary": summary, "responses": responses}
    return found | ({"parameters": parameters} if parameters else {})


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def content(description: str, headers: Schema = REQUEST, **kinds: Schema) -> Schema:
    content = {kind: {"schema": schema} for kind, schema in kinds.items()}
    return {"description": description, "headers": headers, "content": content}


def json(kind: str) -> Schema:
    return {"200": content("It.", **{"application/json": {"type": kind}})}


def pending() -> Schema:
    where = {"Location": {"required": True, "schema": TEXT}}
    again = {"Retry-After": {"required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    return content(
        "Accepted; the answer is to come.",
        REQUEST_AND_TASK | where | again,
        **{"text/plain": TEXT, "application/json": ref("Pending")},
    )


def problems(*statuses: int) -> Schema:
    return {
        str(status): content(
            ", ".join(sorted(code for code, its in STATUS.items() if its == status)),
            REQUEST_AND_TASK,
            **{"text/plain": TEXT, "application/problem+json": ref("Problem")},
        )
        for status in sorted(statuses)
    }


def form(properties: Schema, required: list[str]) -> Schema:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def files(most: int) -> Schema:
    photo: Schema = {"type": "string", "format": "binary"}
    return {"type": "array", "items": photo, "minItems": 1, "maxItems": most} if most > 1 else photo


def flag(name: str, description: str) -> Schema:
    choice = {"type": "string", "enum": ["0", "1"]}
    return {"name": name, "in": "query", "description": description, "schema": choice}


def path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def object_(required: Schema, optional: Schema | None = None) -> Schema:
    """What is named is there; more may come in a later version."""
    properties = required | (optional or {})
    return {"type": "object", "required": list(required), "properties": properties}


def list_(of: Schema) -> Schema:
    return {"type": "array", "items": of}
