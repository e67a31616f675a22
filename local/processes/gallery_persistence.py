"""Keeps the gallery over restarts of the embedded AWS, whose memory ends with it.

The people enrolled under ``facerec up`` are copied to the state directory when they change, and put
back at the next start. Whoever is removed from the gallery is removed from the copy as well.
"""

import logging
import threading
from pathlib import Path

from facerec_tasks.atomic_file import write_atomically
from facerec_tasks.errors import AwsError
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two looks at what has changed."""


class GalleryPersistence:
    """The objects below ``gallery/`` of the state bucket, and their copy in a folder."""

    def __init__(self, state: StateBucket, folder: Path) -> None:
        self._state = state
        self._folder = folder
        self._etags: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def restore(self) -> int:
        """Puts the copy back into the bucket; the number of objects. Raises :class:`AwsError`."""
        for path in (whole := [p for p in self._files() if not p.name.startswith(".")]):
            name = path.relative_to(self._folder).as_posix()
            self._etags[name] = self._state.put(name, path.read_bytes())
        return len(whole)

    def save(self) -> None:
        """Brings the copy up to date; raises :class:`AwsError` or :class:`OSError`."""
        listed = {entry.name: entry.etag for entry in self._state.list(layout.GALLERY)}
        for name in [n for n, etag in listed.items() if self._etags.get(n) != etag]:
            self._copy(name)
        for path in self._files():
            if path.relative_to(self._folder).as_posix() not in listed:
                path.unlink()
        self._etags = listed

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.rglob("*") if path.is_file())

    def _copy(self, name: str) -> None:
        stored = self._state.find(name)
        if stored is None:  # removed since the listing
            return
        write_atomically(self._folder / name, stored.data)

    def watch(self) -> None:
        """Saves every few seconds, in a thread of its own, until :meth:`stop`."""
        self._thread = threading.Thread(target=self._watch, name="gallery-persistence", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(EVERY):
            self._try_to_save()
        self._try_to_save()

    def _try_to_save(self) -> None:
        try:
            self.save()
        except (AwsError, OSError) as error:  # a copy is a convenience: never the end of the rest
            log.warning("the gallery is not copied to %s: %s", self._folder, error)

    def stop(self, timeout: float) -> None:
        """Saves a last time, if it watches, waiting at most ``timeout`` seconds for that."""
        self._stopped.set()
        if self._thread:
            self._thread.join(timeout)
