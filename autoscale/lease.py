"""Only one controller acts: a lease in the state bucket, taken and kept by conditional writes.

No clocks are compared: whoever waits takes the lease over when it has seen it unchanged for all its
duration. A successor in the same place takes it at once: it holds the lock file of that place, so
the kernel has seen the predecessor die. EC2 checks no fencing token; therefore nobody acts when
less of the lease is left than a call may take.
"""

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from autoscale.state import StateStore
from facerec_tasks.aws import CONNECT_TIMEOUT, SHORTER_READ_TIMEOUTS
from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.storage import layout

logger = logging.getLogger(__name__)

DURATION = 45.0
"""Seconds without renewal after which others may take it."""
RENEW = 12.0
"""Seconds after which it is renewed at the next step."""
CALL = float(CONNECT_TIMEOUT + SHORTER_READ_TIMEOUTS["ec2"])
"""Seconds a call to EC2 may take."""


@dataclass(frozen=True)
class LeaseRecord:
    """What stands in the lease."""

    run: str
    """Id of this start of a controller."""
    place: str
    """Machine and lock file; whoever holds that lock knows that no other process does."""
    renewals: int = 0
    """Makes every renewal another object, with another ETag."""
    released: bool = False

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self | None:
        """None for what no controller of ours has written."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None


class ControllerLock:
    """The lock file of one controller a machine, held until this process ends."""

    def __init__(self, machine: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "controller.lock"
        self._machine = machine
        self._file: int | None = None

    def hold(self) -> str | None:
        """Name of the place, or none while another process holds its lock."""
        if self._file is None:
            file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
            self._file = file
        found = os.fstat(self._file)
        return f"{self._machine}:{found.st_dev}:{found.st_ino}"

    def release(self) -> None:
        """Lets another process hold it; what the kernel does when this one dies."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class LeaderLease:
    """The right to act on the fleet."""

    def __init__(
        self,
        state: StateStore,
        place: ControllerLock,
        run: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state, self._lock, self._run, self._clock = state, place, run, clock
        self._etag: str | None = None
        self._expires = float("-inf")
        self._renewals = 0
        self._watched: tuple[str, float] | None = None  # (ETag, since when it has not changed)

    @property
    def left(self) -> float:
        """Seconds for which nobody else can hold it."""
        return self._expires - self._clock()

    @property
    def suffices(self) -> bool:
        """Whether a call to EC2 ends before anybody else may act."""
        return self.left > CALL

    def keep(self) -> bool:
        """Takes or renews the lease when that is due; whether it is held.

        Raises :class:`facerec_tasks.errors.AwsError`; a lease that is held goes on until its end.
        """
        if self.left > DURATION - RENEW:
            return True
        place = self._lock.hold()
        if place is None:
            return False
        if self._etag is not None and self._write(place, self._etag):
            return True
        return self._take(place)

    def release(self) -> None:
        """Lets a successor act at once. Raises :class:`facerec_tasks.errors.AwsError`."""
        place = self._lock.hold()
        if self._etag is not None and place is not None and self.left > 0:
            holder = LeaseRecord(self._run, place, self._renewals + 1, released=True)
            self._state.put(layout.LEASE, holder.to_json(), if_match=self._etag)
        self._etag, self._expires = None, float("-inf")
        self._lock.release()

    def _take(self, place: str) -> bool:
        self._etag, self._expires = None, float("-inf")
        found = self._state.find(layout.LEASE)
        if found is None:
            return self._write(place, None)
        holder = LeaseRecord.from_json(found.data)
        if holder is not None and holder.run == self._run:  # a renewal whose answer was lost
            return self._write(place, found.etag)
        if holder is None or holder.released or holder.place == place:
            return self._write(place, found.etag)
        if self._unchanged(found.etag):
            logger.warning("taking over from %s, which has not renewed its lease", holder.place)
            return self._write(place, found.etag)
        return False

    def _unchanged(self, etag: str) -> bool:
        if self._watched is None or self._watched[0] != etag:
            self._watched = (etag, self._clock())
        return self._clock() - self._watched[1] >= DURATION

    def _write(self, place: str, etag: str | None) -> bool:
        begun = self._clock()
        holder = LeaseRecord(self._run, place, self._renewals + 1)
        try:
            self._etag = self._state.put(
                layout.LEASE, holder.to_json(), if_match=etag, if_absent=etag is None
            )
        except PreconditionFailed:
            self._watched = None
            return False
        self._renewals += 1
        self._expires = begun + DURATION
        self._watched = None
        return True
