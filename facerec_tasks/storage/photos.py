"""The photos that are stored and all that is kept about them: listed, and purged without a trace.

A photo is a version in the in-bucket; its name a version in the out-bucket; its records lie in the
state bucket. A purge removes versions, not only what is the latest.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import Unavailable
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.history import segment_of
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.task_ids import sorts_by_time

MAX_DELETE = 1000
"""Objects of one call: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""
READERS = 16


@dataclass(frozen=True)
class ObjectVersion:
    """One version of an object, or the mark of its deletion."""

    key: str
    id: str
    modified: datetime
    size: int
    """Bytes; 0 of a mark."""
    latest: bool
    mark: bool = False


@dataclass(frozen=True)
class Selection:
    """What to purge: photos of these names, or what was stored before that moment, or both."""

    names: frozenset[str] = frozenset()
    """File names, with extension."""
    before: datetime | None = None

    @property
    def stems(self) -> frozenset[str]:
        return frozenset(layout.name_key(name) for name in self.names)

    def takes(self, version: ObjectVersion, names: frozenset[str]) -> bool:
        """Whether a version goes; ``names`` are those of its bucket, and empty means any."""
        named = not self.names or version.key in names
        return named and (self.before is None or version.modified < self.before)


@dataclass(frozen=True)
class PurgeReport:
    """How many versions went."""

    photos: int
    names: int
    records: int


class Photos:
    """Photos, names and records. Errors come as :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = StateBucket(settings)

    def photos(self, prefix: str = "") -> Iterator[ObjectVersion]:
        """The photos as they are now, by name; older versions and marks are left out."""
        versions = self._versions(self._settings.in_bucket, prefix)
        return (version for version in versions if version.latest and not version.mark)

    def names(self, prefix: str = "") -> dict[str, str]:
        """Name by stem, as people see it in the out-bucket."""
        bucket = self._settings.out_bucket
        stems = [v.key for v in self._versions(bucket, prefix) if v.latest and not v.mark]
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(stems, pool.map(self._name, stems), strict=True))

    def _name(self, stem: str) -> str:
        with translated():
            found = client(self._settings, "s3").get_object(
                Bucket=self._settings.out_bucket, Key=stem
            )
            return found["Body"].read().decode()

    def purge(self, choice: Selection, *, dry: bool = False) -> PurgeReport:
        """Removes what is chosen, all versions of it; with ``dry`` it only counts."""
        settings = self._settings
        records = self._records(choice)  # first: they say which records are a photo's
        return PurgeReport(
            photos=self._remove(settings.in_bucket, "", choice.names, choice, dry),
            names=self._remove(settings.out_bucket, "", choice.stems, choice, dry),
            records=sum(
                self._remove(settings.state_bucket, prefix, records, choice, dry)
                for prefix in layout.PHOTO_RECORDS
            ),
        )

    def orphans(self, before: datetime) -> list[ObjectVersion]:
        """Photos stored before that moment that no result and no idempotency record knows: their
        request ended before its task was sent."""
        known = self._known(layout.RESULTS) | self._known(layout.IDEMPOTENCY)
        return [
            version
            for version in self._versions(self._settings.in_bucket, "")
            if not version.mark
            and version.modified < before
            and (version.key, version.id) not in known
        ]

    def remove(self, versions: Sequence[ObjectVersion]) -> None:
        """Removes these versions of photos for good."""
        for start in range(0, len(versions), MAX_DELETE):
            self._delete(self._settings.in_bucket, versions[start : start + MAX_DELETE])

    def _known(self, prefix: str) -> set[tuple[str, str]]:
        """Key and version of the photos that the records of a kind are about."""
        found = ((fields.get("key"), fields.get("version")) for _, fields in self._read(prefix))
        return {(key, version) for key, version in found if key and version}

    def _read(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and fields of the records of a kind; no fields of one that is gone meanwhile."""

        def fields(name: str) -> dict[str, Any]:
            stored = self._state.find(name)
            return json.loads(stored.data) if stored else {}

        names = self._state.names(prefix)
        with ThreadPoolExecutor(READERS) as pool:
            yield from zip(names, pool.map(fields, names), strict=True)

    def _records(self, choice: Selection) -> frozenset[str]:
        """Keys of the records about photos of the chosen names."""
        if not choice.names:
            return frozenset()
        tasks = self._about(layout.RESULTS, choice) | self._about(layout.IDEMPOTENCY, choice)
        ids = {task_id for _, task_id in tasks}
        hours = {layout.UNKNOWN_GROUPS} | {
            segment_of(task_id) for task_id in ids if sorts_by_time(task_id)
        }
        return (
            frozenset(key for name, task_id in tasks for key in (name, *layout.records_of(task_id)))
            | frozenset(hours)
            | frozenset(
                version.key
                for prefix in layout.RECORDS_BY_FOLDER
                for version in self._versions(self._settings.state_bucket, prefix)
                if version.key.split("/")[1] in ids
            )
        )

    def _about(self, prefix: str, choice: Selection) -> set[tuple[str, str]]:
        """Name and task id of the records of a kind that are about chosen photos."""
        return {
            (name, fields["task_id"])
            for name, fields in self._read(prefix)
            if fields.get("key") in choice.names
        }

    def _remove(
        self, bucket: str, prefix: str, names: frozenset[str], choice: Selection, dry: bool
    ) -> int:
        chosen = (v for v in self._versions(bucket, prefix) if choice.takes(v, names))
        count = 0
        while batch := list(islice(chosen, MAX_DELETE)):
            count += len(batch)
            if not dry:
                self._delete(bucket, batch)
        return count

    def _delete(self, bucket: str, versions: Iterable[ObjectVersion]) -> None:
        objects = [{"Key": version.key, "VersionId": version.id} for version in versions]
        with translated():
            done = client(self._settings, "s3").delete_objects(
                Bucket=bucket,
                Delete={"Objects": objects, "Quiet": True},  # type: ignore[typeddict-item]
            )
        if failed := done.get("Errors"):
            raise Unavailable(f"{len(failed)} objects not deleted: {failed[0].get('Message')}")

    def _versions(self, bucket: str, prefix: str) -> Iterator[ObjectVersion]:
        with translated():
            pages = (
                client(self._settings, "s3")
                .get_paginator("list_object_versions")
                .paginate(Bucket=bucket, Prefix=prefix)
            )
            for page in pages:
                for v in page.get("Versions", ()):
                    yield ObjectVersion(
                        v["Key"], v["VersionId"], v["LastModified"], v["Size"], v["IsLatest"]
                    )
                for m in page.get("DeleteMarkers", ()):
                    yield ObjectVersion(
                        m["Key"], m["VersionId"], m["LastModified"], 0, m["IsLatest"], mark=True
                    )
