"""A file that a process touches as long as its main loop turns.

Whoever starts processes may look at its age, and end those that hang. To ask a worker itself would
cost calls to AWS, day and night. That AWS fails stops no loop, so it ends nobody.
"""

import logging
import time
from pathlib import Path

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two touches. After a minute it is dead: no step waits for AWS that long."""


class HeartbeatFile:
    """``<folder>/<name>.heartbeat``"""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.heartbeat"
        self._tried_at = float("-inf")
        self._failing = False

    def touch(self) -> None:
        """Touches the file if it is time. A disk that fails is said once, and ends nothing."""
        now = time.monotonic()
        if now - self._tried_at < EVERY:
            return
        self._tried_at = now
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("cannot show that this process lives: %s", error)
            self._failing = True
