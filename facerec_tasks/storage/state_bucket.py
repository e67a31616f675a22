"""The state bucket: everything we keep but photos and names, with conditional writes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import NotFound, PreconditionFailed
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef


@dataclass(frozen=True)
class Stored:
    """One object as it was read."""

    data: bytes
    etag: str


@dataclass(frozen=True)
class ObjectInfo:
    """One line of a listing."""

    name: str
    size: int
    modified: datetime
    etag: str


class StateBucket:
    """Objects of the state bucket by name, all below ``prefix``.

    Errors come as :class:`facerec_tasks.errors.AwsError`.
    """

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        self._settings, self._prefix = settings, prefix

    @property
    def settings(self) -> Settings:
        """Of the account this is kept in."""
        return self._settings

    @property
    def _s3(self) -> "S3Client":
        return client(self._settings, "s3")  # looked up each time: a forked child gets its own

    @property
    def _bucket(self) -> str:
        return self._settings.state_bucket

    def get(self, name: str, *, if_none_match: str | None = None) -> Stored | None:
        """An object, or none when it still has that ETag; raises :class:`NotFound`."""
        condition: dict[str, Any] = {"IfNoneMatch": if_none_match} if if_none_match else {}
        try:
            with translated():
                found = self._s3.get_object(
                    Bucket=self._bucket, Key=self._prefix + name, **condition
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
                Bucket=self._bucket, Key=self._prefix + name, Body=data, **condition
            )
        return str(stored["ETag"])

    def put_over(self, name: str, data: bytes, read: Stored | None) -> str:
        """Stores an object in the place of what was read, or of none; else as :meth:`put`."""
        return self.put(name, data, if_match=read.etag if read else None, if_absent=read is None)

    def previous(self, name: str) -> Stored | None:
        """What an object was before its last change; None when that is not kept."""
        key = self._prefix + name
        with translated():
            listed = self._s3.list_object_versions(Bucket=self._bucket, Prefix=key, MaxKeys=10)
            versions = [v for v in listed.get("Versions", ()) if v["Key"] == key]
            if len(versions) < 2 or not versions[0]["IsLatest"]:
                return None
            found = self._s3.get_object(
                Bucket=self._bucket, Key=key, VersionId=versions[1]["VersionId"]
            )
            return Stored(data=found["Body"].read(), etag=found["ETag"])

    def delete(self, name: str) -> None:
        """Removes an object; none there is fine."""
        with translated():
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def erase(self, name: str) -> None:
        """Removes an object and every old version of it."""
        self._erase(name, keep_latest=False)

    def erase_old_versions(self, name: str) -> None:
        """Removes what an object was before; what it is now stays."""
        self._erase(name, keep_latest=True)

    def _erase(self, name: str, *, keep_latest: bool) -> None:
        key = self._prefix + name
        with translated():
            pages = self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=key
            )
            for page in pages:
                for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    if found["Key"] == key and not (keep_latest and found["IsLatest"]):
                        self._s3.delete_object(
                            Bucket=self._bucket, Key=key, VersionId=found["VersionId"]
                        )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose name begins with ``prefix``, in the order of their names."""
        with translated():
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                yield from map(self._info, page.get("Contents", ()))

    def _info(self, listed: "ObjectTypeDef") -> ObjectInfo:
        name = listed["Key"].removeprefix(self._prefix)
        return ObjectInfo(name, listed["Size"], listed["LastModified"], listed["ETag"])

    def span(self, prefix: str, after: str, until: str) -> tuple[Sequence[ObjectInfo], bool]:
        """The first thousand objects whose name goes on from ``prefix`` with more than ``after``
        and at most ``until``, in their order, and whether those are all. One request."""
        with translated():
            page = self._s3.list_objects_v2(
                Bucket=self._bucket,
                Prefix=self._prefix + prefix,
                StartAfter=self._prefix + prefix + after,
            )
        found = [self._info(one) for one in page.get("Contents", ())]
        within = [one for one in found if one.name <= prefix + until]
        return within, len(within) < len(found) or not page.get("IsTruncated")

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names that begin with ``prefix``, in their order."""
        return tuple(entry.name for entry in self.list(prefix))
