"""Whether this worker was told to end, for its children: SIGTERM reaches the parent alone.

One byte of memory that parent and children share; the parent sets it the moment it hears.
"""

import mmap
from typing import Any

from celery.signals import worker_init, worker_shutting_down

_told = mmap.mmap(-1, 1)  # anonymous and shared: children are forked after this


@worker_init.connect
def _not_yet(**_: Any) -> None:
    _told[0] = 0


@worker_shutting_down.connect
def _now(**_: Any) -> None:
    _told[0] = 1


def stopping() -> bool:
    """Cheap enough to ask a thousand times a second."""
    return _told[0] == 1
