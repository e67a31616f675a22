"""The videos a machine works on, on its own disk: the next run of a task finds its file there."""

import os
import shutil
import time
from pathlib import Path

from facerec_tasks.atomic_file import replacing
from facerec_tasks.errors import Unavailable
from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from facerec_tasks.storage.buckets import PhotoBucket

FORGOTTEN = 3600.0
"""Seconds after which a file nobody asked for is removed: its task went on elsewhere."""
SPARE = 512 * 1024**2
"""Bytes that stay free on the disk."""


class VideoCache:
    """A folder of files named after their tasks; shared by the processes of a machine."""

    def __init__(self, photos: PhotoBucket, folder: Path, most: int) -> None:
        """``most``: bytes of one video."""
        self._photos, self._folder, self._most = photos, folder, most

    def fetch(self, task_id: str, key: str, version: str | None) -> Path:
        """The file of that task's video, from S3 unless it is here already.

        Raises :class:`facerec_tasks.errors.AwsError`, ``NotFound`` among them, and ``Rejected`` for
        one that is too large.
        """
        path = self._folder / task_id
        if path.exists():
            os.utime(path)
            return path
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tidy()
        try:
            with replacing(path) as part:
                with part.open("wb") as file:
                    size = self._photos.download(key, version, file, self._allowed())
                if size > self._most:
                    message = f"The video has more than {self._most} bytes."
                    raise Rejected(RejectionCode.TOO_LARGE, message)
                if size != part.stat().st_size:
                    raise Unavailable(f"no room on this disk for a video of {size} bytes")
        except OSError as error:
            raise Unavailable(f"the video cannot be kept on this disk: {error}") from error
        return path

    def forget(self, task_id: str) -> None:
        (self._folder / task_id).unlink(missing_ok=True)

    def _allowed(self) -> int:
        return min(self._most, max(0, shutil.disk_usage(self._folder).free - SPARE))

    def _tidy(self) -> None:
        for path in self._folder.iterdir():
            try:
                if time.time() - path.stat().st_mtime > FORGOTTEN:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process was faster
