"""This machine's working copy of the gallery: one mapped file, shared by every worker process.

The file is replaced as a whole, never written in place, so a process keeps the gallery it is
searching and takes the new one at its next task. Whoever notices a change, the parent told by
broadcast or a child at a task, fetches it for all.
"""

import contextlib
import fcntl
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from facerec_tasks.atomic_file import write_atomically
from facerec_tasks.errors import AwsError, NotFound, Unavailable
from facerec_tasks.recognition.gallery import mapped
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.storage.collections import DEFAULT, NoSuchCollection, keys_of
from facerec_tasks.storage.people import DEFAULT_ENGINE
from facerec_tasks.storage.state_bucket import StateBucket

COLLECTIONS = "collections"
"""Folder of the working copies of collections by name."""

CHECK_EVERY = 60.0
"""Seconds between two looks at the gallery's ETag, for all processes of the machine together."""
LOCK_TIMEOUT = 60.0
"""Seconds to wait for another process that is fetching the gallery."""

log = logging.getLogger(__name__)


class GallerySource:
    """Where a worker takes its gallery from. Safe to use before and after a fork."""

    def __init__(self, state: StateBucket, folder: Path, *, collection: str = DEFAULT) -> None:
        """``folder`` is the machine's; a collection by name has one of its own in it.

        Raises :class:`NoSuchCollection` for what is no name of one.
        """
        self._state = state
        self._collection = collection
        self._key = keys_of(collection).gallery
        self._folder = folder if collection == DEFAULT else folder / COLLECTIONS / collection
        self._checked = False
        self._mapped: tuple[tuple[int, int], Gallery] | None = None

    @property
    def path(self) -> Path:
        """The working copy."""
        return self._folder / "current.mapped"

    @property
    def _etag_path(self) -> Path:
        """Holds the working copy's ETag; touched whenever that was compared with the bucket's."""
        return self._folder / "current.etag"

    def current(self) -> Gallery:
        """The gallery for the next task: no call to AWS unless a look is due.

        A failed look keeps the gallery there is. Raises :class:`AwsError` or
        :class:`GalleryError` when there is none yet and none can be had, and
        :class:`NoSuchCollection`.

        A collection by name is looked at before every task: whoever indexes a face there and
        searches for it in the next call expects to find it.
        """
        if self._collection != DEFAULT:
            self._follow()
        elif not self._checked or self._is_due():
            self._look()
            self._checked = True
        return self._newest()

    def refresh(self) -> None:
        """Fetches the gallery now if it changed, for this and all other processes.

        Raises :class:`AwsError`, and :class:`GalleryError` when what is there is no gallery.
        """
        with self._locked(LOCK_TIMEOUT):
            self._fetch()

    def _follow(self) -> None:
        try:
            self.refresh()
        except (AwsError, OSError) as error:
            if not self.path.exists():
                raise
            log.warning("keeping collection %s as it is: %s", self._collection, error)

    def _look(self) -> None:
        try:
            with self._locked(LOCK_TIMEOUT if not self.path.exists() else 0):
                self._fetch()
        except BlockingIOError:
            return  # another process is looking for us
        except (AwsError, GalleryError, OSError) as error:  # OSError: the disk is full, or worse
            if not self.path.exists():
                raise
            log.warning("keeping the gallery as it is: %s", error)
            with contextlib.suppress(OSError):
                self._etag_path.touch()  # no task waits for a failing S3 twice in a minute

    def _fetch(self) -> None:
        usable = self._is_usable()
        etag = self._etag() if usable else ""
        try:
            stored = self._state.get(self._key, if_none_match=etag or None)
        except NotFound:
            if self._collection != DEFAULT:
                self._drop()
                raise NoSuchCollection(f"no collection is called {self._collection}") from None
            if usable and not etag:
                self._etag_path.touch()  # nobody was enrolled then, and nobody is now
                return
            data, new_etag = Gallery.empty(DEFAULT_ENGINE).to_bytes(), ""
        else:
            if stored is None:
                self._etag_path.touch()
                return
            data, new_etag = stored.data, stored.etag
        gallery = Gallery.from_bytes(data)  # refused before it takes a good one's place
        for left_behind in self._folder.glob("*.partial"):  # by a process killed while it wrote
            left_behind.unlink(missing_ok=True)
        write_atomically(self.path, mapped.to_bytes(gallery), durable=True)
        write_atomically(self._etag_path, new_etag.encode(), durable=True)
        log.info("gallery of %d people, %s", len(gallery), gallery.engine)

    def _drop(self) -> None:
        """The collection is deleted: nothing of it stays on this machine."""
        for path in (self.path, self._etag_path):
            path.unlink(missing_ok=True)
        self._mapped = None

    def _etag(self) -> str:
        """Empty when there is no telling which gallery the working copy is of."""
        try:
            return self._etag_path.read_text()
        except FileNotFoundError:
            return ""

    def _is_usable(self) -> bool:
        """Whether there is a working copy, and of this version."""
        try:
            mapped.open_file(self.path)
        except (FileNotFoundError, GalleryError):
            return False
        return True

    def _is_due(self) -> bool:
        if not self.path.exists():
            return True
        try:
            age = time.time() - self._etag_path.stat().st_mtime
        except FileNotFoundError:
            return True
        return not 0 <= age < CHECK_EVERY  # a clock set back makes it due as well

    def _newest(self) -> Gallery:
        found = self.path.stat()
        identity = (found.st_ino, found.st_mtime_ns)
        if self._mapped is None or self._mapped[0] != identity:
            self._mapped = (identity, mapped.open_file(self.path))
        return self._mapped[1]

    @contextlib.contextmanager
    def _locked(self, timeout: float) -> Iterator[None]:
        """One fetch at a time on this machine; the lock goes when its process does."""
        deadline = time.monotonic() + timeout
        self._folder.mkdir(parents=True, exist_ok=True)  # somebody may have tidied up
        with (self._folder / "lock").open("wb") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not timeout:
                        raise
                    if time.monotonic() > deadline:
                        raise Unavailable("another process keeps fetching the gallery") from None
                    time.sleep(0.02)
            yield
