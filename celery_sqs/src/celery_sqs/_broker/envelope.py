"""What kombu and Celery believe of a message without looking, checked (pure).

A malformed member would raise in the worker's event loop, where some end the worker.
"""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from celery_sqs.errors import UnreadableMessage

Envelope = dict[str, Any]
"""kombu's message as a dict: body, content-type, content-encoding, headers, properties."""


def check_envelope(envelope: Envelope) -> Envelope:
    """The same; raises :class:`.errors.UnreadableMessage` naming the first fault."""
    _check(envelope, "body", str, bytes)
    for name in ("content-type", "content-encoding"):
        _check(envelope, name, str, type(None))
    properties = _check(envelope, "properties", dict)
    _check(properties, "delivery_info", dict, type(None))
    if properties.get("delivery_info", {}) is None:
        del properties["delivery_info"]
    _check_body_encoding(envelope["body"], properties.get("body_encoding"))
    headers = _check(envelope, "headers", dict, type(None))
    if headers is None:
        envelope["headers"] = headers = {}
    if "task" in headers:
        _check_task(headers)
        _check_json_body(envelope)
    return envelope


def _check(holder: dict[str, Any], name: str, *types: type) -> Any:
    value = holder.get(name)
    if not isinstance(value, types):
        raise UnreadableMessage(f"{name} is {type(value).__name__}")
    return value


def _check_body_encoding(body: Any, encoding: Any) -> None:
    if encoding is None:
        return
    if not isinstance(encoding, str) or encoding.lower() not in ("utf-8", "base64"):
        raise UnreadableMessage(f"body_encoding is {encoding!r:.40}")
    if encoding.lower() == "base64":
        try:
            base64.b64decode(body, validate=False)
        except ValueError as error:
            raise UnreadableMessage("the body is no base64") from error


def _check_task(headers: dict[str, Any]) -> None:
    for name, is_legal in _TASK_HEADERS.items():
        if name in headers and not is_legal(headers[name]):
            raise UnreadableMessage(f"header {name} is {headers[name]!r:.40}")
    if not isinstance(headers.get("id"), str):
        raise UnreadableMessage("header id is missing")


def _check_json_body(envelope: Envelope) -> None:
    """Arguments that are JSON; what else they may be is for Celery to decide."""
    encoding = envelope["properties"].get("body_encoding") or "utf-8"
    if envelope.get("content-type") != "application/json" or encoding.lower() == "base64":
        return
    if envelope["headers"].get("compression"):
        return
    try:
        args, kwargs, embed = json.loads(envelope["body"])
    except (TypeError, ValueError, RecursionError) as error:
        raise UnreadableMessage("the body is not [args, kwargs, embed]") from error
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embed, dict | None)):
        raise UnreadableMessage("the body is not [args, kwargs, embed]")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return isinstance(value, str | None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time_limit(value: Any) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(each is None or (_is_number(each) and each >= 0) for each in value)
    )


def _is_time(value: Any) -> bool:
    if value is None:
        return True
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_expiry(value: Any) -> bool:
    return _is_number(value) or _is_time(value)


_TASK_HEADERS: dict[str, Callable[[Any], bool]] = {
    "task": _is_text,
    "id": _is_text,
    "lang": _is_text,
    "timelimit": _is_time_limit,
    "eta": _is_time,
    "expires": _is_expiry,
    "retries": lambda value: value is None or (_is_number(value) and value >= 0),
    "stamped_headers": lambda value: isinstance(value, list | tuple | None),
    "stamps": lambda value: isinstance(value, dict | None),
    "root_id": _is_text_or_none,
    "parent_id": _is_text_or_none,
    "group": _is_text_or_none,
    "argsrepr": _is_text_or_none,
    "kwargsrepr": _is_text_or_none,
}
