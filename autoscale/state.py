"""Where the controller keeps what must outlive it, with conditional writes."""

import itertools
from dataclasses import dataclass
from typing import Protocol

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import NotFound, PreconditionFailed
from facerec_tasks.settings import Settings

PREFIX = "controller/"


@dataclass(frozen=True)
class Stored:
    """One object as it was read."""

    data: bytes
    etag: str


class State(Protocol):
    """Objects by name. Calls raise :class:`facerec_tasks.errors.AwsError`."""

    def find(self, name: str) -> Stored | None:
        """An object, or none when there is no such object."""

    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        """Stores an object and gives its ETag. Raises :class:`PreconditionFailed`."""

    def names(self, prefix: str) -> list[str]:
        """Names that begin with ``prefix``, in their order."""


class BucketState:
    """Objects of the state bucket, below ``controller/``."""

    def __init__(self, settings: Settings, prefix: str = PREFIX) -> None:
        self._settings, self._prefix = settings, prefix

    @property
    def _s3(self):  # type: ignore[no-untyped-def]
        return client(self._settings, "s3")

    def find(self, name: str) -> Stored | None:
        try:
            with translated():
                found = self._s3.get_object(
                    Bucket=self._settings.state_bucket, Key=self._prefix + name
                )
                return Stored(found["Body"].read(), str(found["ETag"]))
        except NotFound:
            return None

    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        condition: dict[str, str] = {}
        if if_match:
            condition["IfMatch"] = if_match
        if if_absent:
            condition["IfNoneMatch"] = "*"
        with translated():
            stored = self._s3.put_object(
                Bucket=self._settings.state_bucket,
                Key=self._prefix + name,
                Body=data,
                **condition,
            )
        return str(stored["ETag"])

    def names(self, prefix: str) -> list[str]:
        with translated():
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.state_bucket, Prefix=self._prefix + prefix
            )
            found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [str(key).removeprefix(self._prefix) for key in found]


class MemoryState:
    """The same in memory, for tests and for trying things."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self._versions = itertools.count(1)

    def find(self, name: str) -> Stored | None:
        return self.objects.get(name)

    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        found = self.objects.get(name)
        if if_absent and found is not None:
            raise PreconditionFailed(f"{name} exists")
        if if_match is not None and (found is None or found.etag != if_match):
            raise PreconditionFailed(f"{name} is not {if_match}")
        etag = f'"{next(self._versions)}"'
        self.objects[name] = Stored(data, etag)
        return etag

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))
