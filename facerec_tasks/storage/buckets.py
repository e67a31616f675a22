"""The three buckets: photos in, names out, and the state of everything else."""

from typing import Any, BinaryIO

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import ConfigurationError, NotFound
from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket

CHUNK = 1 << 20
"""Bytes of a download that are held at once."""


class PhotoBucket:
    """Photos and videos by file name. Errors: :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> str:
        """Stores a photo or video and returns its version id; a file is streamed.

        Raises :class:`ConfigurationError` when the bucket is not versioned: "latest" would give
        somebody else's photo to whoever uploads the same name a moment later.
        """
        with translated():
            stored = client(self._settings, "s3").put_object(
                Bucket=self._settings.in_bucket, Key=key, Body=data, ContentType=content_type
            )
        version = stored.get("VersionId")
        if not version or version == "null":
            raise ConfigurationError(f"bucket {self._settings.in_bucket} is not versioned")
        return str(version)

    def get(self, key: str, version: str | None = None) -> bytes:
        """The bytes of that version; raises :class:`NotFound`."""
        with translated():
            return bytes(self._open(key, version)["Body"].read())

    def download(self, key: str, version: str | None, target: BinaryIO, max_bytes: int) -> int:
        """Writes that version to ``target``; returns its size in bytes.

        An object of more than ``max_bytes`` bytes is not read. Raises :class:`NotFound`.
        """
        with translated():
            found = self._open(key, version)
            size = int(found["ContentLength"])
            if size <= max_bytes:
                for chunk in found["Body"].iter_chunks(CHUNK):
                    target.write(chunk)
            found["Body"].close()
        return size

    def _open(self, key: str, version: str | None) -> Any:
        chosen: dict[str, Any] = {"VersionId": version} if version else {}
        return client(self._settings, "s3").get_object(
            Bucket=self._settings.in_bucket, Key=key, **chosen
        )


class NameBucket:
    """Names as plain text by photo. Errors: :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def put(
        self, key: str, name: str, task_id: str, finished_at: float, *, keep_newer: bool = False
    ) -> None:
        """Stores a name; the last writer wins.

        ``finished_at`` is unix seconds. With ``keep_newer`` (a task that runs again) the name of an
        answer that finished at that moment or later stays.
        """
        if keep_newer and self._finished_at(key) >= finished_at:
            return
        with translated():
            client(self._settings, "s3").put_object(
                Bucket=self._settings.out_bucket,
                Key=key,
                Body=name.encode(),
                ContentType="text/plain; charset=utf-8",
                Metadata={"task-id": task_id, "finished-at": repr(finished_at)},
            )

    def _finished_at(self, key: str) -> float:
        try:
            with translated():
                found = client(self._settings, "s3").head_object(
                    Bucket=self._settings.out_bucket, Key=key
                )
        except NotFound:
            return float("-inf")
        return float(found["Metadata"].get("finished-at", "-inf"))


class Storage:
    """The three buckets of one system."""

    def __init__(self, settings: Settings) -> None:
        self.photos = PhotoBucket(settings)
        self.names = NameBucket(settings)
        self.state = StateBucket(settings)
