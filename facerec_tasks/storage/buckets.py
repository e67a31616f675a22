"""The three buckets: photos in, names out, and everything else we keep."""

from typing import Any, BinaryIO

from facerec_tasks.aws import translated
from facerec_tasks.errors import ConfigurationError, NotFound
from facerec_tasks.storage.state_bucket import ObjectInfo, StateBucket, Stored

__all__ = ["ObjectInfo", "Storage", "Stored"]


CHUNK = 1 << 20


class Storage(StateBucket):
    """The state bucket, and photos and names. Errors: :class:`facerec_tasks.errors.AwsError`."""

    def put_photo(self, key: str, data: bytes | BinaryIO, content_type: str) -> str:
        """Stores a photo and returns its version id.

        Raises :class:`ConfigurationError` when the bucket is not versioned: "latest" would give
        somebody else's photo to whoever uploads the same name a moment later.
        """
        with translated():
            stored = self._s3.put_object(
                Bucket=self._settings.in_bucket, Key=key, Body=data, ContentType=content_type
            )
        version = stored.get("VersionId")
        if not version or version == "null":
            raise ConfigurationError(f"bucket {self._settings.in_bucket} is not versioned")
        return str(version)

    def get_photo(self, key: str, version: str | None = None) -> bytes:
        """The bytes of that version of a photo; raises :class:`NotFound`."""
        chosen: dict[str, Any] = {"VersionId": version} if version else {}
        with translated():
            found = self._s3.get_object(Bucket=self._settings.in_bucket, Key=key, **chosen)
            return bytes(found["Body"].read())

    def put_video(self, key: str, file: BinaryIO, content_type: str) -> str:
        """As :meth:`put_photo`, of a file that can be sought in: it is not held in memory."""
        return self.put_photo(key, file, content_type)

    def fetch_video(self, key: str, version: str | None, target: BinaryIO, most: int) -> int:
        """Writes that version to ``target``; returns its size in bytes.

        One of more than ``most`` bytes is not read. Raises :class:`NotFound`.
        """
        chosen: dict[str, Any] = {"VersionId": version} if version else {}
        with translated():
            found = self._s3.get_object(Bucket=self._settings.in_bucket, Key=key, **chosen)
            size = int(found["ContentLength"])
            if size <= most:
                for chunk in found["Body"].iter_chunks(CHUNK):
                    target.write(chunk)
            found["Body"].close()
        return size

    def put_name(
        self, stem: str, name: str, task_id: str, finished_at: float, *, careful: bool = False
    ) -> None:
        """The view for people: the last writer's name under the photo's name without extension.

        ``finished_at`` is unix seconds. With ``careful`` (a task that runs again) nothing is
        written over the name of an answer that finished at that moment or later.
        """
        if careful and self._name_finished_at(stem) >= finished_at:
            return
        with translated():
            self._s3.put_object(
                Bucket=self._settings.out_bucket,
                Key=stem,
                Body=name.encode(),
                ContentType="text/plain; charset=utf-8",
                Metadata={"task-id": task_id, "finished-at": repr(finished_at)},
            )

    def _name_finished_at(self, stem: str) -> float:
        try:
            with translated():
                found = self._s3.head_object(Bucket=self._settings.out_bucket, Key=stem)
        except NotFound:
            return float("-inf")
        return float(found["Metadata"].get("finished-at", "-inf"))
