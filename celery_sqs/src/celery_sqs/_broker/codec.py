"""Compact, loss-free message format for Celery's protocol-2 task messages (pure).

Only what differs from the defaults of the protocol travels; :func:`decode` rebuilds the envelope
that was given to :func:`encode`, but for ``properties.delivery_tag``, which belongs to a delivery.
What this module does not know how to shrink travels verbatim, as stock kombu writes it.

Protocol: https://docs.celeryq.dev/en/stable/internals/protocol.html#version-2
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from celery.utils.saferepr import saferepr

from celery_sqs._broker.envelope import Envelope, check_envelope
from celery_sqs.errors import UnknownVersion, UnreadableMessage

MARKER = "celery-sqs"
"""Member that only messages of this format have; its value is the version."""
VERSION = 1
_REPR_LIMIT = 1024
"""``celery.app.amqp.AMQP.argsrepr_maxsize`` and ``kwargsrepr_maxsize``."""

_ENVELOPE_KEYS = {"body", "content-type", "content-encoding", "headers", "properties"}
_NO_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
DEFAULT_HEADERS: dict[str, Any] = {
    "lang": "py", "shadow": None, "eta": None, "expires": None, "group": None,
    "group_index": None, "retries": 0, "timelimit": [None, None], "parent_id": None,
    "ignore_result": False, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
}  # fmt: skip
DERIVED_HEADERS = {"task", "id", "root_id", "argsrepr", "kwargsrepr", "origin"}
_PROPERTIES: dict[str, Any] = {"delivery_mode": 2, "priority": 0, "body_encoding": "utf-8"}
_DERIVED_PROPERTIES = {"correlation_id", "reply_to", "delivery_info", "delivery_tag"}
_ABSENT = object()

# XML 1.0 has no such characters, so SQS refuses them unless JSON escapes them.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_FORBIDDEN = re.compile("[\ud800-\udfff\ufffe\uffff]")


def encode(envelope: Envelope, queue: str) -> str:
    """The text to send to ``queue``."""
    compact = _compact(envelope, queue)
    return dumps(envelope if compact is None else compact)


def decode(text: str, queue: str) -> Envelope:
    """The envelope received from ``queue``; empty when the text is foreign: neither ours nor
    kombu's.

    Raises :class:`.errors.UnreadableMessage` for one that is damaged or malformed, and its subclass
    :class:`.errors.UnknownVersion` for one of a newer release.
    """
    data = _json_object(text)
    if MARKER in data:
        if data[MARKER] != VERSION:
            raise UnknownVersion(f"format {data[MARKER]!r}; this release knows {VERSION}")
        return check_envelope(_expanded(data, queue))
    if _is_version_0_1(data):
        return check_envelope(_expanded(data, queue))
    if {"body", "properties"} <= data.keys():
        return check_envelope(data)
    return {}


def eta_of(data: Any) -> Any:
    """The ``eta`` header of a message that was parsed but not decoded."""
    if not isinstance(data, dict):
        return None
    headers = data.get("h" if MARKER in data or _is_version_0_1(data) else "headers")
    return headers.get("eta") if isinstance(headers, dict) else None


def _json_object(text: str) -> dict[str, Any]:
    """Stock kombu writes base64 by default."""
    for candidate in (text, _unbase64(text)):
        try:
            data = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return data
    return {}


def _unbase64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _is_version_0_1(data: dict[str, Any]) -> bool:
    """Of release 0.1, whose marker others use as well."""
    types: dict[str, type] = {"t": str, "i": str, "a": list}
    return data.get("v") == 1 and all(isinstance(data.get(k), t) for k, t in types.items())


def _expanded(data: dict[str, Any], queue: str) -> Envelope:
    try:
        return _expand(data, queue)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableMessage(f"damaged: {error!r}") from error


def dumps(data: Any) -> str:
    """JSON in the fewest bytes of UTF-8 that SQS accepts."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def size(text: str, attributes: Mapping[str, Any] | None = None) -> int:
    """Bytes as SQS counts them: the body, and each attribute's name, type and value."""
    total = len(text.encode())
    for name, attribute in (attributes or {}).items():
        value = attribute.get("StringValue") or attribute.get("BinaryValue") or b""
        total += len(name.encode()) + len(attribute["DataType"].encode())
        total += len(value.encode() if isinstance(value, str) else value)
    return total


def _compact(envelope: Envelope, queue: str) -> dict[str, Any] | None:
    """None when the envelope is not a protocol-2 JSON task and must travel verbatim."""
    body = _task_body(envelope)
    if body is None:
        return None
    args, kwargs, embed = body
    headers, properties = envelope["headers"], envelope["properties"]
    small: dict[str, Any] = {MARKER: VERSION, "t": headers["task"], "i": headers["id"], "a": args}
    if kwargs:
        small["k"] = kwargs
    if embed != _NO_EMBED:
        small["e"] = embed
    small |= _derived(headers, properties, args, kwargs, queue)
    for key, found, defaults, derived in (
        ("h", headers, DEFAULT_HEADERS, DERIVED_HEADERS),
        ("p", properties, _PROPERTIES, _DERIVED_PROPERTIES),
    ):
        changed, missing = _difference(found, defaults, derived)
        if changed:
            small[key] = changed
        if missing:
            small[f"{key}-"] = missing
    return small


def _task_body(envelope: Envelope) -> tuple[list[Any], dict[str, Any], dict[str, Any]] | None:
    """Arguments, keyword arguments and embed of what we can shrink; none for everything else."""
    headers, properties = envelope.get("headers"), envelope.get("properties")
    if (
        envelope.keys() != _ENVELOPE_KEYS
        or envelope["content-type"] != "application/json"
        or envelope["content-encoding"] != "utf-8"
        or not isinstance(headers, dict)
        or not isinstance(properties, dict)
        or not isinstance(headers.get("task"), str)
        or not {"id", "root_id", "argsrepr", "kwargsrepr"} <= headers.keys()
        or not {"delivery_info", "correlation_id", "reply_to"} <= properties.keys()
    ):
        return None
    try:
        args, kwargs, embed = json.loads(envelope["body"])
    except (TypeError, ValueError):
        return None
    if isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embed, dict):
        return args, kwargs, embed
    return None


def _derived(
    headers: dict[str, Any],
    properties: dict[str, Any],
    args: list[Any],
    kwargs: dict[str, Any],
    queue: str,
) -> dict[str, Any]:
    """Fields whose usual value follows from others: only a different one travels."""
    task_id = headers["id"]
    fields = (
        ("r", properties["reply_to"], ""),
        ("c", properties["correlation_id"], task_id),
        ("d", properties["delivery_info"], {"exchange": "", "routing_key": queue}),
        ("ro", headers["root_id"], task_id),
        ("o", headers.get("origin", _ABSENT), _ABSENT),
        ("kr", headers["kwargsrepr"], saferepr(kwargs, _REPR_LIMIT)),
    )
    small = {key: value for key, value, usual in fields if not _same(value, usual)}
    if headers["argsrepr"] == saferepr(args, _REPR_LIMIT):
        small["al"] = 1  # the caller passed a list, not a tuple
    elif headers["argsrepr"] != saferepr(tuple(args), _REPR_LIMIT):
        small["ar"] = headers["argsrepr"]
    return small


def _difference(
    found: dict[str, Any], defaults: dict[str, Any], derived: set[str]
) -> tuple[dict[str, Any], list[str]]:
    """What is not as by default or unknown to this release, and the defaults that are missing."""
    changed = {
        key: value
        for key, value in found.items()
        if key not in derived and not _same(value, defaults.get(key, _ABSENT))
    }
    return changed, [key for key in defaults if key not in found]


def _same(value: Any, usual: Any) -> bool:
    """Equal as JSON: a tuple is a list, but 0 is not False."""
    if isinstance(value, tuple):
        value = list(value)
    return type(value) is type(usual) and bool(value == usual)


def _expand(small: dict[str, Any], queue: str) -> Envelope:
    args, kwargs, task_id = small["a"], small.get("k", {}), small["i"]
    listed = args if small.get("al") else tuple(args)
    headers = {
        **{key: value for key, value in DEFAULT_HEADERS.items() if key not in small.get("h-", ())},
        "task": small["t"],
        "id": task_id,
        "root_id": small.get("ro", task_id),
        "argsrepr": small["ar"] if "ar" in small else saferepr(listed, _REPR_LIMIT),
        "kwargsrepr": small["kr"] if "kr" in small else saferepr(kwargs, _REPR_LIMIT),
        **({"origin": small["o"]} if "o" in small else {}),
        **small.get("h", {}),
    }
    properties = {
        **{key: value for key, value in _PROPERTIES.items() if key not in small.get("p-", ())},
        "correlation_id": small.get("c", task_id),
        "reply_to": small.get("r", ""),
        "delivery_info": small.get("d", {"exchange": "", "routing_key": queue}),
        **small.get("p", {}),
    }
    return {
        "body": json.dumps([args, kwargs, small.get("e", _NO_EMBED)]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": json.loads(json.dumps(headers)),  # never a list shared with the next message
        "properties": json.loads(json.dumps(properties)),
    }
