"""What a bucket's lifecycle rules do on AWS: photos and answers go after their days."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from facerec_tasks.errors import AwsError
from facerec_tasks.settings import Settings
from facerec_tasks.storage.photos import Photos, Selection

log = logging.getLogger(__name__)

EVERY = 3600.0
"""Seconds between two removals."""
FIRST = 10.0
"""Seconds until the first one: the system starts meanwhile."""


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Removes what is older than ``FACEREC_RETENTION_DAYS``, in a thread, until the block ends."""
    stopped = threading.Event()

    def run() -> None:
        wait = FIRST
        while not stopped.wait(wait):
            wait = EVERY
            try:
                expire(settings, datetime.now(UTC))
            except AwsError as error:
                log.warning("old photos stay for now: %s", error)

    if settings.retention_days:
        threading.Thread(target=run, name="expiry", daemon=True).start()
    try:
        yield
    finally:
        stopped.set()


def expire(settings: Settings, now: datetime) -> None:
    """Removes photos, names and answers that are too old; raises :class:`AwsError`."""
    before = now - timedelta(days=settings.retention_days)
    Photos(settings).purge(Selection(before=before))
