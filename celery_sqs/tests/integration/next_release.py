"""``sample_app`` as of a release that writes the next wire format and reads both."""

import json
from typing import Any

from celery_sqs._broker import codec

THIS, NEXT = codec.VERSION, codec.VERSION + 1
_decode = codec.decode


def decode(text: str, queue: str) -> Any:
    """The next format is this one with its arguments under another name."""
    try:
        data = json.loads(text)
    except ValueError:
        return _decode(text, queue)
    if isinstance(data, dict) and data.get(codec.MARKER) == NEXT:
        data["a"] = data.pop("args")
        data[codec.MARKER] = THIS
        return _decode(json.dumps(data), queue)
    return _decode(text, queue)


def encode(envelope: Any, queue: str) -> str:
    data = json.loads(_encode(envelope, queue))
    if data.get(codec.MARKER) == THIS:
        data["args"] = data.pop("a")
        data[codec.MARKER] = NEXT
    return codec.dumps(data)


_encode = codec.encode
codec.decode, codec.encode = decode, encode

from sample_app import app, note  # noqa: E402, F401  with the format above
