"""What is known of a video: the newest upload's answer, kept once, shown in the output bucket.

``videos/<video name>.json`` in the state bucket is the answer; ``<video name>.txt`` in the output
bucket shows it. Uploads of one name may be answered in any order and at once: the record takes the
newest by a conditional write, and whoever writes the view looks at the record again afterwards, so
that the last one to write shows what is on record.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import TypeAdapter

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import NotFound, PreconditionFailed, Unavailable
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.video.timeline import PersonInVideo
from serverless.uploads import VideoUpload

Outcome = Literal["named", "unknown", "no-face", "refused"]
ATTEMPTS = 10
"""Races with other uploads of one name that are run before the event is left to come again."""


@dataclass(frozen=True)
class Record:
    """The answer to one upload of a video."""

    upload: VideoUpload
    outcome: Outcome
    people: tuple[PersonInVideo, ...] = ()
    """Known people first, then who is seen longest."""
    code: str | None = None
    detail: str | None = None
    """Why the video was refused."""
    frames: int = 0
    """That were looked at."""
    seconds: float | None = None
    """Of the video."""
    complete: bool = True
    """False: cut short or damaged; the answer is about what could be read."""
    engine: str | None = None
    finished_at: float = 0.0
    """Unix seconds."""

    @property
    def text(self) -> str | None:
        """What the output bucket shows; none for a refused video."""
        if self.outcome == "named":
            return self.people[0].name
        return None if self.outcome == "refused" else self.outcome

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; what has no value is left out."""
        fields = asdict(self) | {
            "upload": self.upload.to_dict(),
            "people": [person.to_dict() for person in self.people],
        }
        return {name: value for name, value in fields.items() if value is not None}

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises :class:`ValueError` for anything :meth:`to_json` could not have made.

        Fields this version does not know are ignored: a newer one may have written them.
        """
        return _record.validate_json(data)  # type: ignore[return-value]


_record = TypeAdapter(Record)


class Records:
    """The records and their views. Errors come as :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._s3 = settings, client(settings, "s3")
        self._state = StateBucket(settings)

    def find(self, name: str) -> Record | None:
        """The record of a video name, or none yet."""
        found = self._state.find(layout.video_record(name))
        return Record.from_json(found.data) if found else None

    def put(self, record: Record) -> Record:
        """Keeps the record unless its upload or a newer one has one; returns the one on record."""
        path = layout.video_record(record.upload.name)
        for _ in range(ATTEMPTS):
            found = self._state.find(path)
            if found:
                kept = Record.from_json(found.data)
                if not record.upload.supersedes(kept.upload):
                    return kept
            try:
                self._state.put_over(path, record.to_json(), found)
            except (PreconditionFailed, NotFound):
                continue  # another upload was quicker, or somebody tidied up
            return record
        raise Unavailable(f"{path} keeps changing")

    def show(self, record: Record) -> Record:
        """Makes the output bucket show what is on record; returns that."""
        for _ in range(ATTEMPTS):
            self._write(record)
            latest = self.find(record.upload.name)
            if latest is None or latest.upload == record.upload:
                return record
            record = latest
        raise Unavailable(f"answers for {record.upload.name} keep coming")

    # The view

    def _write(self, record: Record) -> None:
        """The name as plain text, or why there is none; never both."""
        name, text = record.upload.name, record.text
        if text is None:
            why = {"video": record.upload.key, "code": record.code, "detail": record.detail}
            body, key, other = json.dumps(why, ensure_ascii=False), _refused(name), _answer(name)
            kind = "application/json"
        else:
            body, key, other = text, _answer(name), _refused(name)
            kind = "text/plain; charset=utf-8"
        about = {
            "video": quote(record.upload.key),
            "version": quote(record.upload.version or ""),
            "finished-at": repr(record.finished_at),
        }
        if self._about(key) != about:
            with translated():
                self._s3.put_object(
                    Bucket=self._settings.video_name_bucket,
                    Key=key,
                    Body=body.encode(),
                    ContentType=kind,
                    Metadata=about,
                )
        if self._about(other) is not None:
            with translated():
                self._s3.delete_object(Bucket=self._settings.video_name_bucket, Key=other)

    def _about(self, key: str) -> dict[str, str] | None:
        """Metadata of the view's object, or none when there is no such object."""
        try:
            with translated():
                found = self._s3.head_object(Bucket=self._settings.video_name_bucket, Key=key)
        except NotFound:
            return None
        return found["Metadata"]


def _answer(name: str) -> str:
    return f"{name}.txt"


def _refused(name: str) -> str:
    return f"{name}.refused.json"
