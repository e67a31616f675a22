"""What a request hands to its worker by name, since a message holds 1,024 bytes: photos, lists.

Whoever put it there erases it, all versions of it; what a
killed process leaves is purged by age (the bucket's lifecycle rule).
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

from celery.utils import uuid

from facerec_tasks.errors import AwsError
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

BY_KEY = "uploaded-arguments"
"""First argument of a task whose arguments are too long for a message; the second is the upload."""
REPLY = "reply"
"""Stands in the place of the number: a reply that is too large for a message."""

log = logging.getLogger(__name__)


class Uploads:
    """Errors come as :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state

    def put(self, parts: Sequence[bytes]) -> str:
        """Stores them and returns the id to read them by."""
        upload: str = uuid()
        for number, part in enumerate(parts):
            self._state.put(layout.upload(upload, number), part)
        return upload

    def get(self, upload: str, number: int) -> bytes:
        """Raises :class:`facerec_tasks.errors.NotFound`."""
        stored = self._state.get(layout.upload(upload, number))
        assert stored is not None  # no condition was given
        return stored.data

    def put_reply(self, upload: str, reply: dict[str, Any]) -> None:
        self._state.put(layout.upload(upload, REPLY), json.dumps(reply).encode())

    def take_reply(self, upload: str) -> dict[str, Any]:
        """Reads and erases it; raises :class:`facerec_tasks.errors.NotFound`."""
        stored = self._state.get(layout.upload(upload, REPLY))
        assert stored is not None  # no condition was given
        self._state.erase(layout.upload(upload, REPLY))
        reply: dict[str, Any] = json.loads(stored.data)
        return reply

    def erase(self, upload: str, count: int) -> None:
        """Leaves nothing of it; while AWS is away it is left to the purge."""
        try:
            for number in range(count):
                self._state.erase(layout.upload(upload, number))
        except AwsError as error:
            log.warning("upload %s is not erased, a purge will: %s", upload, error)
