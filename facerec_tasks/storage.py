"""The three buckets: photos in, names out, and everything else we keep."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import ConfigurationError, NotFound, PreconditionFailed
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Stored:
    """One object of the state bucket as it was read."""

    data: bytes
    etag: str


@dataclass(frozen=True)
class Entry:
    """One line of a listing of the state bucket."""

    name: str
    size: int
    modified: datetime
    etag: str


class Storage:
    """S3 as this system uses it. Errors come as :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def _s3(self) -> "S3Client":
        return client(self._settings, "s3")  # looked up each time: a forked child gets its own

    # Photos and names

    def put_photo(self, key: str, data: bytes, content_type: str) -> str:
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

    # The state bucket

    def get(self, name: str, *, if_none_match: str | None = None) -> Stored | None:
        """An object, or none when it still has that ETag; raises :class:`NotFound`."""
        condition: dict[str, Any] = {"IfNoneMatch": if_none_match} if if_none_match else {}
        try:
            with translated():
                found = self._s3.get_object(
                    Bucket=self._settings.state_bucket, Key=name, **condition
                )
                return Stored(data=found["Body"].read(), etag=found["ETag"])
        except PreconditionFailed:
            return None

    def find(self, name: str) -> Stored | None:
        """An object, or none when there is no such object."""
        try:
            return self.get(name)
        except NotFound:
            return None

    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        """Stores an object and returns its ETag; raises :class:`PreconditionFailed`."""
        condition: dict[str, Any] = {}
        if if_match:
            condition["IfMatch"] = if_match
        if if_absent:
            condition["IfNoneMatch"] = "*"
        with translated():
            stored = self._s3.put_object(
                Bucket=self._settings.state_bucket, Key=name, Body=data, **condition
            )
        return str(stored["ETag"])

    def delete(self, name: str) -> None:
        """Removes an object; none there is fine."""
        with translated():
            self._s3.delete_object(Bucket=self._settings.state_bucket, Key=name)

    def erase(self, name: str) -> None:
        """Removes an object and every old version of it."""
        self._erase(name, keep_latest=False)

    def erase_old_versions(self, name: str) -> None:
        """Removes what an object was before; what it is now stays."""
        self._erase(name, keep_latest=True)

    def _erase(self, name: str, *, keep_latest: bool) -> None:
        bucket = self._settings.state_bucket
        with translated():
            pages = self._s3.get_paginator("list_object_versions").paginate(
                Bucket=bucket, Prefix=name
            )
            for page in pages:
                for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    if found["Key"] == name and not (keep_latest and found["IsLatest"]):
                        self._s3.delete_object(
                            Bucket=bucket, Key=name, VersionId=found["VersionId"]
                        )

    def list(self, prefix: str) -> Iterator[Entry]:
        """The objects whose name begins with ``prefix``, in the order of their names."""
        with translated():
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.state_bucket, Prefix=prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    yield Entry(found["Key"], found["Size"], found["LastModified"], found["ETag"])
