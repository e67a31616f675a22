"""Request bodies while they arrive: bounded in memory, on disk, per client and in time."""

import asyncio
import errno
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from facerec_tasks.settings import Settings
from webapp.http.errors import Problem, retry_later

IN_MEMORY = 256 * 1024
"""Bytes of one body that stay in memory."""
MEMORY_BUDGET = 32 * 1024 * 1024
"""Bytes of all bodies in memory; beyond it, small ones go to disk, too."""
FLOOR_BYTES, FLOOR_SECONDS = 20_000, 20.0
"""The rate a client must keep (1 kB/s), however large its photo is."""
DISK_FACTOR = 2
"""A form parser writes each large file once more."""
LEAST_FREE = 64 * 1024 * 1024
"""Bytes of the spool's disk below which this process is not ready."""

Receive = Callable[[], Awaitable[Any]]


class Spool:
    """The budget of one process. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._total = settings.spool_bytes
        self._per_client = settings.spool_bytes_per_client
        self._folder = Path(settings.spool_dir or tempfile.gettempdir())
        self._used = 0
        self._in_memory = 0
        self._clients: Counter[str] = Counter()
        self._lock = threading.Lock()

    def fault(self) -> str | None:
        """Why large bodies cannot be taken now, or ``None``."""
        free = shutil.disk_usage(self._folder).free
        if free < LEAST_FREE:
            return f"spool {self._folder}: only {free} bytes are free"
        return None

    @property
    def used(self) -> int:
        with self._lock:
            return self._used

    def reserve(self, client: str, count: int) -> None:
        """Raises :class:`Problem` when all bodies, or this client's, would be too many bytes."""
        with self._lock:
            if self._used + count > self._total:
                raise retry_later("overloaded", "too many uploads are being received")
            if self._clients[client] + count > self._per_client:
                raise retry_later("overloaded", "too many uploads from this client at once")
            self._used += count
            self._clients[client] += count

    def release(self, client: str, count: int) -> None:
        with self._lock:
            self._used -= count
            self._clients[client] -= count
            if self._clients[client] <= 0:
                del self._clients[client]

    def take_memory(self, count: int) -> bool:
        with self._lock:
            if self._in_memory + count > MEMORY_BUDGET:
                return False
            self._in_memory += count
            return True

    def give_memory(self, count: int) -> None:
        with self._lock:
            self._in_memory -= count

    def file(self) -> tempfile.SpooledTemporaryFile[bytes]:
        """In memory until it is rolled over to the disk."""
        return tempfile.SpooledTemporaryFile(dir=str(self._folder))


class Body:
    """One body. :meth:`close` may be called from any thread, more than once."""

    def __init__(self, spool: Spool, client: str, expected: int | None, max_bytes: int) -> None:
        """``expected`` is the ``Content-Length``; raises :class:`Problem`."""
        self._spool = spool
        self._client = client
        self._max = max_bytes
        self._reserved = 0
        self._memory = 0
        self._in_memory = True
        self.size = 0
        self._lock = threading.Lock()
        if expected:
            self._reserve(expected)
        self._file = spool.file()

    def _reserve(self, count: int) -> None:
        wanted = count * (DISK_FACTOR if count > IN_MEMORY else 1)
        if wanted > self._reserved:
            self._spool.reserve(self._client, wanted - self._reserved)
            self._reserved = wanted

    async def receive(self, receive: Receive) -> None:
        """Reads all of it; raises :class:`Problem`, and ``EOFError`` when the client is gone."""
        if self.size == 0 and not self._reserved:
            message = await receive()  # nothing to wait for, or a first chunk
            if self._take(message):
                return
        deadline = asyncio.get_running_loop().time() + FLOOR_SECONDS
        window = 0
        try:
            async with asyncio.timeout_at(deadline) as limit:
                while True:
                    message = await receive()
                    if self._take(message):
                        return
                    window += len(message["body"])
                    if window >= FLOOR_BYTES:
                        window = 0
                        limit.reschedule(asyncio.get_running_loop().time() + FLOOR_SECONDS)
        except TimeoutError as error:
            raise Problem(
                "too-slow",
                f"fewer than {FLOOR_BYTES} bytes came in {FLOOR_SECONDS:.0f} s",
            ) from error

    def _take(self, message: Any) -> bool:
        """Whether the body is complete."""
        if message["type"] == "http.disconnect":
            raise EOFError
        chunk = message.get("body", b"")
        self.size += len(chunk)
        if self.size > self._max:
            raise Problem("too-large", f"the request has more than {self._max} bytes")
        if chunk:
            self._reserve(self.size)
            self._store(chunk)
        return not message.get("more_body", False)

    def _store(self, chunk: bytes) -> None:
        small = self._in_memory and self.size <= IN_MEMORY
        self._in_memory = small and self._spool.take_memory(len(chunk))
        with _room_for_it():
            if self._in_memory:
                self._memory += len(chunk)
            else:
                self._file.rollover()
                self._give_memory()
            self._file.write(chunk)

    def _give_memory(self) -> None:
        self._spool.give_memory(self._memory)
        self._memory = 0

    def open(self) -> IO[bytes]:
        """The bytes from the beginning; raises :class:`Problem` when the disk is full."""
        with _room_for_it():
            self._file.seek(0)
        return self._file

    def close(self) -> None:
        with self._lock:
            with suppress(OSError):
                self._file.close()  # the request refers to it until it is answered
            self._give_memory()
            self._spool.release(self._client, self._reserved)
            self._reserved = 0


@contextmanager
def _room_for_it() -> Iterator[None]:
    """Raises :class:`Problem` for a disk that is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise retry_later("storage-full", "no room to receive this upload") from error
        raise
