"""``Idempotency-Key``: the same request sent twice is one photo, also across restarts and machines.

A key is claimed by a conditional write, so of two requests at once the first wins and the second
gets the first one's task. After the draft
https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from webapp.http.errors import Problem, retry_later

CLAIM_SECONDS = 45.0
"""Seconds after which a claim without a stored photo is taken for that of a dead process: above
what a PUT takes with all its attempts (3 times 11 s), below the 90 s that the page tries again."""


def in_progress() -> Problem:
    """Of a request that is being answered at this moment."""
    return retry_later("in-progress", "the same request is being answered", 2)


@dataclass(frozen=True)
class IdempotencyRecord:
    """What a key stands for."""

    task_id: str
    key: str
    version: str | None
    """``None`` until the photo is stored: the key is claimed first, so that no photo is stored
    for a request that loses."""
    fingerprint: str
    """Digest of file name and bytes: the same key must mean the same photo."""
    video: bool = False
    claimed_at: float = 0.0
    """Unix seconds."""


class IdempotencyStore:
    """``idempotency/<digest>.json`` in the state bucket."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state

    def find(self, key: str) -> IdempotencyRecord | None:
        """What the key was claimed for; raises :class:`facerec_tasks.errors.AwsError`."""
        found = self._state.find(_name(key))
        return _decoded(found.data) if found else None

    def make(self, key: str, record: IdempotencyRecord) -> IdempotencyRecord:
        """Claims the key; returns the record that holds, ours or an earlier one."""
        try:
            self._state.put(_name(key), _encoded(record), if_absent=True)
        except PreconditionFailed:
            earlier = self.find(key)
            if earlier is None:  # purged between the two calls
                raise
            return earlier
        return record

    def complete(self, key: str, record: IdempotencyRecord) -> None:
        """Adds the version of the stored photo; only the holder of the claim calls this."""
        self._state.put(_name(key), _encoded(record))

    def take_over(self, key: str, now: float) -> IdempotencyRecord:
        """Claims a key whose holder died before it stored the photo; raises :func:`in_progress`
        when the holder may live, or another request took it over."""
        found = self._state.find(_name(key))
        record = _decoded(found.data) if found else None
        if found is None or record is None or record.version is not None:
            raise in_progress()
        if now - record.claimed_at < CLAIM_SECONDS:
            raise in_progress()
        taken = replace(record, claimed_at=now)
        try:
            self._state.put(_name(key), _encoded(taken), if_match=found.etag)
        except PreconditionFailed as error:
            raise in_progress() from error
        return taken


def _encoded(record: IdempotencyRecord) -> bytes:
    return json.dumps(asdict(record)).encode()


def _decoded(data: bytes) -> IdempotencyRecord:
    return IdempotencyRecord(**json.loads(data))


def fingerprint(name: str, pieces: Iterable[bytes]) -> str:
    """Digest of what was sent."""
    digest = hashlib.sha256(name.encode())
    digest.update(b"\0")
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _name(key: str) -> str:
    return layout.idempotency(hashlib.sha256(key.encode()).hexdigest())
