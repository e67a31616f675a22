"""Ids of tasks that sort by time: UUIDs of version 7 (RFC 9562, 5.7).

A result is stored under its task's id, so a listing of results is a history already.
"""

import os
import re
import time
import uuid

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_RANDOM_BITS = 80


def new_task_id(now: float | None = None) -> str:
    """``now`` in unix seconds."""
    milliseconds = int(1000 * (time.time() if now is None else now))
    random = int.from_bytes(os.urandom(10)) & ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=milliseconds << _RANDOM_BITS | 0x7 << 76 | 0x2 << 62 | random))


def first_task_id(milliseconds: int) -> str:
    """Sorts before every id of that moment or later."""
    return str(uuid.UUID(int=milliseconds << _RANDOM_BITS))


def sorts_by_time(task_id: str) -> bool:
    """Not so of ids that others made, or this product before 0.2.0."""
    return _ID.fullmatch(task_id) is not None


def accepted_at(task_id: str) -> float:
    """Unix seconds, to the millisecond, of an id that :func:`sorts_by_time`."""
    return (uuid.UUID(task_id).int >> _RANDOM_BITS) / 1000
