"""What the state bucket holds of one video: ``video/<task id>/``."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

from facerec_tasks.errors import NotFound, PreconditionFailed
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket, Stored
from facerec_tasks.video.timeline import PersonInVideo


class VideoStore:
    """Checkpoint and progress while it is looked at, pictures for ever after."""

    def __init__(self, state: StateBucket, task_id: str) -> None:
        self._state = state
        self._prefix = layout.video_folder(task_id)
        self._mark = uuid4().hex.encode()
        """First line of our checkpoints: those of two runs side by side may say the same."""

    @property
    def sheet(self) -> str:
        """Name of the contact sheet."""
        return f"{self._prefix}sheet.jpg"

    def state(self) -> Stored | None:
        """The last checkpoint."""
        found = self._state.find(f"{self._prefix}state.json")
        return replace(found, data=found.data.partition(b"\n")[2]) if found else None

    def put_state(self, state: bytes, after: str | None) -> str:
        """Writes a checkpoint in the place of the one with the ETag ``after``, the first in the
        place of none; returns its ETag.

        Raises :class:`facerec_tasks.errors.PreconditionFailed` when another run has gone on
        meanwhile: a message delivered twice must not make two chains of runs.
        """
        name, marked = f"{self._prefix}state.json", self._mark + b"\n" + state
        try:
            return self._state.put(name, marked, if_match=after, if_absent=after is None)
        except (PreconditionFailed, NotFound):
            there = self._state.find(name)
            if there is None or there.data != marked:
                raise PreconditionFailed(f"another run has written {name}") from None
            return there.etag  # our own write, of which the answer was lost

    def progress(self) -> dict[str, Any]:
        """What was told last: percent (0 to 99, or none), time in seconds, people,
        frames_analyzed, at."""
        found = self._state.find(f"{self._prefix}progress.json")
        told = json.loads(found.data) if found else {}
        return told if isinstance(told, dict) else {}

    def put_progress(self, told: dict[str, Any]) -> None:
        self._state.put(f"{self._prefix}progress.json", json.dumps(told).encode())

    def put_pictures(
        self, people: tuple[PersonInVideo, ...], portraits: tuple[bytes, ...], sheet: bytes
    ) -> tuple[PersonInVideo, ...]:
        """Stores them; returns the people with the names of their pictures."""
        self._state.put(self.sheet, sheet)
        named = []
        for number, (person, portrait) in enumerate(zip(people, portraits, strict=True)):
            name = f"{self._prefix}{number}.jpg"
            self._state.put(name, portrait)
            named.append(replace(person, crop=name))
        return tuple(named)

    def picture(self, name: str) -> bytes | None:
        """``sheet.jpg`` or ``<number>.jpg``."""
        found = self._state.find(self._prefix + name)
        return found.data if found else None

    def clear(self) -> None:
        """Removes what only runs need."""
        for name in ("state.json", "progress.json"):
            self._state.delete(self._prefix + name)
