"""The controller's corner of the state bucket: ``controller/…``, with conditional writes."""

from dataclasses import dataclass

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import NotFound
from facerec_tasks.settings import Settings

PREFIX = "controller/"


@dataclass(frozen=True)
class Stored:
    """One object as it was read."""

    data: bytes
    etag: str


class State:
    """Objects by name below ``controller/``. Errors are :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def _s3(self):  # type: ignore[no-untyped-def]
        return client(self._settings, "s3")

    def find(self, name: str) -> Stored | None:
        """An object, or none when there is no such object."""
        try:
            with translated():
                found = self._s3.get_object(Bucket=self._settings.state_bucket, Key=PREFIX + name)
                return Stored(found["Body"].read(), str(found["ETag"]))
        except NotFound:
            return None

    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        """Stores an object and gives its ETag. Raises :class:`PreconditionFailed`."""
        condition: dict[str, str] = {}
        if if_match:
            condition["IfMatch"] = if_match
        if if_absent:
            condition["IfNoneMatch"] = "*"
        with translated():
            stored = self._s3.put_object(
                Bucket=self._settings.state_bucket, Key=PREFIX + name, Body=data, **condition
            )
        return str(stored["ETag"])

    def names(self, prefix: str) -> list[str]:
        """Names that begin with ``prefix``, in their order."""
        with translated():
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.state_bucket, Prefix=PREFIX + prefix
            )
            found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [str(key).removeprefix(PREFIX) for key in found]
