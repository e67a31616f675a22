"""What the reader asks of the decoder's process, and small records that come back over a pipe.

The decoder has read a hostile file and is not trusted: lengths are bounded before anything is
read, and nothing but numbers, JSON and pixels is accepted.
"""

import json
import struct
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from facerec_tasks.video.limits import VideoLimits
from facerec_tasks.video.sampling import FramePosition, Sampling

HEAD = struct.Struct("<cI")
"""RecordKind and bytes of what follows."""
FRAME = struct.Struct("<dIHHB")
"""Seconds, number, width, height, flags; then width x height x 3 of RGB."""
CUT, FOLLOWS = 1, 2
"""Flags: a scene begins; the frame handed out before was shown until this one."""
MAX_JSON = 65536


@dataclass(frozen=True)
class DecodeJob:
    """What the process is asked for, as it comes on the command line."""

    fd: int
    demuxer: str
    size: int
    after: FramePosition | None
    limits: VideoLimits
    sampling: Sampling

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "DecodeJob":
        fields = json.loads(text)
        after = fields.pop("after")
        return cls(
            limits=VideoLimits(**fields.pop("limits")),
            sampling=Sampling(**fields.pop("sampling")),
            after=FramePosition(**after) if after else None,
            **fields,
        )


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
