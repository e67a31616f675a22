"""Tasks for later: held by SQS, not by a worker.

A task that is due within :data:`HELD_SECONDS` is sent at once, and a worker holds it as Celery does
on any broker. Any other is sent with ``DelaySeconds``, at most 15 minutes; a worker that receives
it too early hides it again until it is due, 12 hours at a time. It is one message from beginning to
end, so it runs once, and no worker needs to live meanwhile. It must be due before its queue drops
it.
"""

import json
import math
from datetime import UTC, datetime
from typing import Any

from celery_sqs._broker.codec import eta_of
from celery_sqs.errors import EtaTooLate

HELD_SECONDS = 10.0
MAX_DELAY = 900
"""Seconds, the longest ``DelaySeconds``.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
"""
MAX_HIDDEN = 12 * 3600 - 60
"""Seconds, a little less than AWS allows from the receive."""
EARLY_SECONDS = 1.0
"""A message comes back so much before its time: a worker then starts it in time."""


def delay_seconds(headers: dict[str, Any], now: float, retention: int, queue: str) -> int | None:
    """``DelaySeconds`` of a task with these headers, or None; ``now`` in unix seconds.

    Raises :class:`.errors.EtaTooLate`.
    """
    remaining = _remaining(headers.get("eta"), now)
    if remaining is None:
        return None
    if remaining >= retention:
        raise EtaTooLate(
            f"due in {remaining:.0f} s, but {queue} keeps messages for {retention} s only"
        )
    return min(MAX_DELAY, math.floor(remaining - EARLY_SECONDS))


def visibility_delay(body: str, now: float) -> int | None:
    """Seconds to hide a message that was received before it is due; None: take it."""
    if '"eta"' not in body:
        return None
    try:
        remaining = _remaining(eta_of(json.loads(body)), now)
    except ValueError:
        return None
    return None if remaining is None else min(MAX_HIDDEN, math.floor(remaining - EARLY_SECONDS))


def _remaining(eta: Any, now: float) -> float | None:
    """Seconds until a task is due; None when a worker may hold it so long, or it is due at any."""
    if not isinstance(eta, str):
        return None
    try:
        due = datetime.fromisoformat(eta)
    except ValueError:
        return None
    if due.tzinfo is None:
        due = due.replace(tzinfo=UTC)
    remaining = due.timestamp() - now
    return remaining if remaining > HELD_SECONDS else None
