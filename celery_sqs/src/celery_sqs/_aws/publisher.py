"""Messages a worker sends from a thread, so that its event loop never waits for AWS.

For what may be lost: events and answers to remote control commands. Tasks never go this way.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from celery.utils.log import get_logger

from celery_sqs import _runtime

logger = get_logger(__name__)
T = TypeVar("T")

LIMIT = 2000
"""Messages that wait at most; the oldest go first."""


class BackgroundPublisher(Generic[T]):
    """Hands what is put in to ``send``, in order, as lists of what gathered meanwhile."""

    def __init__(self, send: Callable[[list[T]], None], name: str) -> None:
        self._send = send
        self._name = name
        self._waiting: deque[T] = deque(maxlen=LIMIT)
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, message: T) -> None:
        with self._changed:
            self._waiting.append(message)
            if self._thread is None:
                self._thread = _runtime.start_thread(self._run, self._name)
            self._changed.notify_all()

    def flush(self) -> None:
        """Sends what waits, in the caller's thread, after what is being sent."""
        with self._sending:
            with self._changed:
                messages = list(self._waiting)
                self._waiting.clear()
            if not messages:
                return
            try:
                self._send(messages)
            except Exception as error:  # noqa: BLE001 - these may be lost, the thread may not
                logger.warning("%d messages of %s lost: %r", len(messages), self._name, error)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
            self.flush()
