"""What the decoder's process tells the one that reads: small records over a pipe.

The decoder has read a hostile file and is not trusted: lengths are bounded before anything is
read, and nothing but numbers, JSON and pixels is accepted.
"""

import json
import struct
from enum import Enum
from typing import Any

HEAD = struct.Struct("<cI")
"""RecordKind and bytes of what follows."""
FRAME = struct.Struct("<dIHHB")
"""Seconds, number, width, height, flags; then width x height x 3 of RGB."""
CUT, FOLLOWS = 1, 2
"""Flags: a scene begins; the frame handed out before was shown until this one."""
MAX_JSON = 65536


class RecordKind(bytes, Enum):
    """Kinds of record, in the order in which they come."""

    METADATA = b"F"
    FRAME = b"P"
    TICK = b"T"
    """A sign of life: frames are decoded that nobody asked for."""
    END = b"E"
    REJECTED = b"R"


def pack(kind: RecordKind, value: dict[str, Any]) -> bytes:
    text = json.dumps(value).encode()
    return HEAD.pack(kind.value, len(text)) + text


def unpack(payload: bytes | bytearray) -> dict[str, Any]:
    """Raises :class:`ValueError` for what :func:`pack` cannot have made."""
    value = json.loads(payload)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
