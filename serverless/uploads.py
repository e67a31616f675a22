"""What S3 says when a video lands. Pure.

S3 tells at least once and in any order, so everything behind this compares uploads: the same one
told twice changes nothing, an older one told late changes nothing.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self
from urllib.parse import unquote_plus

from pydantic import StrictInt, TypeAdapter, ValidationError

CREATED = "ObjectCreated:"
MAX_KEY_BYTES = 900
"""Of 1,024 that S3 allows: what is kept of a video has longer names than the video."""


class BadEvent(ValueError):
    """Raised for an event that S3 or our other function cannot have sent."""


@dataclass(frozen=True)
class VideoUpload:
    """One version of one video in the input bucket."""

    key: str
    version: str | None = None
    """None in an event made by hand: whichever is the latest then."""
    sequencer: str = ""
    """Orders the uploads of one key; hexadecimal digits, compared as text."""
    time: str = ""
    """When it landed, as S3 writes times. Orders uploads of different keys."""
    size: StrictInt | None = None
    """Bytes."""

    def __post_init__(self) -> None:
        """Raises :class:`BadEvent`."""
        if not self.key or len(self.key.encode()) > MAX_KEY_BYTES:
            raise BadEvent(f"a key must have 1 to {MAX_KEY_BYTES} bytes: {self.key[:80]!r}")

    @property
    def name(self) -> str:
        """The video's name: its key without the extension. Answers are found under it."""
        return posixpath.splitext(self.key)[0]

    def supersedes(self, other: "VideoUpload") -> bool:
        """Whether this one's answer takes the place of the other's.

        See "sequencer" in S3's "Event message structure": the shorter is filled up with zeros.
        """
        if self.key != other.key:
            return (self.time, self.key) > (other.time, other.key)
        if self.version == other.version:
            return False
        if not self.sequencer:
            return True  # sent by hand, on purpose
        length = max(len(self.sequencer), len(other.sequencer))
        return self.sequencer.ljust(length, "0") > other.sequencer.ljust(length, "0")

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, fields: Any) -> Self:
        """Raises :class:`BadEvent` for anything :meth:`to_dict` could not have made."""
        try:
            return _video_upload.validate_python(fields)  # type: ignore[return-value]
        except ValidationError as error:
            raise BadEvent(f"no upload: {error}") from error


_video_upload = TypeAdapter(VideoUpload)


def uploads(event: Any, bucket: str) -> Iterator[VideoUpload]:
    """The videos an S3 event tells of. Other events of S3, and folders, are passed over.

    Raises :class:`BadEvent` for what is not S3's, or tells of another bucket than ours.
    """
    if not isinstance(event, Mapping):
        raise BadEvent("the event is no JSON object")
    if event.get("Event") == "s3:TestEvent":
        return
    records = event.get("Records")
    if not isinstance(records, list):
        raise BadEvent("the event has no records")
    for record in records:
        upload = _upload(record, bucket)
        if upload is not None:
            yield upload


def _upload(record: Any, bucket: str) -> VideoUpload | None:
    try:
        if record.get("eventSource", "aws:s3") != "aws:s3":
            raise BadEvent(f"not an event of S3 but of {record['eventSource']}")
        if not record.get("eventName", CREATED).removeprefix("s3:").startswith(CREATED):
            return None
        told, found = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key = unquote_plus(found["key"], errors="strict")
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise BadEvent(f"not a record of S3: {error!r}") from error
    if told != bucket:
        raise BadEvent(f"an event of bucket {told}, not of {bucket}")
    if key.endswith("/"):
        return None
    return VideoUpload.from_dict(
        {
            "key": key,
            "version": found.get("versionId"),
            "sequencer": found.get("sequencer", ""),
            "time": record.get("eventTime", ""),
            "size": found.get("size"),
        }
    )
