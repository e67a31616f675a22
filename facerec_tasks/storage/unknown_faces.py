"""Faces nobody knows, as past answers hold them, and the groups they are in.

The groups are one object that can be deleted at any time: it is made again from the answers, which
hold the embeddings of unknown faces that are good enough. A face is named by the task id of its
photo and its place among that answer's faces.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import TypeAdapter, ValidationError

from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.recognition.embedding.description import EmbedderDescription
from facerec_tasks.recognition.embedding.metrics import decoded
from facerec_tasks.recognition.gallery.grouping import MOST_FACES, grouped
from facerec_tasks.recognition.gallery.records import FaceBox
from facerec_tasks.schemas import UNKNOWN_KIND, Answer
from facerec_tasks.storage import layout
from facerec_tasks.storage.history import DAY, History, HistoryQuery
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket, Stored
from facerec_tasks.task_ids import accepted_at

MOST_READ = 500
"""Answers of one look at what is new; the next look goes on."""
OVERLAP = 3600.0
"""Seconds before the newest face in which answers may still have been written."""


@dataclass(frozen=True)
class UnknownFace:
    """One face of a past answer."""

    task_id: str
    number: int
    """Its place among the faces of the answer."""
    engine: str
    embedding: str
    box: tuple[float, float, float, float]
    """Left, top, width and height as shares of the photo."""
    quality: float
    """Pixels of the face's shorter side by the detector's score."""
    group: str = ""
    """UUID; empty: not grouped yet."""

    @property
    def id(self) -> tuple[str, int]:
        return self.task_id, self.number


@dataclass(frozen=True)
class _Groups:
    """What is stored."""

    newest: str
    """Task id of the newest answer that was looked at; empty at first."""
    faces: tuple[UnknownFace, ...]


_groups = TypeAdapter(_Groups)


class UnknownFaces:
    """Of the default collection, which recognizes photos. Raises ``AwsError``."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state
        self._results = Results(state)

    def groups(self, embedder: EmbedderDescription) -> dict[str, list[UnknownFace]]:
        """Every group after a look at what is new: the largest first, its best face first."""
        stored = self._state.find(layout.UNKNOWN_GROUPS)
        before = _decoded(stored)
        days = self._state.settings.retention_days
        oldest = time.time() - days * DAY if days else 0.0
        kept = tuple(
            face
            for face in before.faces
            if face.engine == embedder.name and accepted_at(face.task_id) >= oldest
        )
        now = self._with_new(replace(before, faces=kept), embedder.name)
        if now != before:
            faces = sorted(now.faces, key=lambda face: face.task_id)[-MOST_FACES:]
            now = replace(now, faces=_grouped(faces, embedder))
            self._write(now, stored)
        found: dict[str, list[UnknownFace]] = {}
        for face in sorted(now.faces, key=lambda face: -face.quality):
            found.setdefault(face.group, []).append(face)
        return dict(sorted(found.items(), key=lambda one: -len(one[1])))

    def group(self, group: str) -> list[UnknownFace]:
        """The faces of one group as it is now, the best first."""
        found = _decoded(self._state.find(layout.UNKNOWN_GROUPS)).faces
        return sorted((f for f in found if f.group == group), key=lambda face: -face.quality)

    def forget(self, faces: list[UnknownFace]) -> None:
        """These are unknown no more, or of no interest; their numbers are erased."""
        for task_id in dict.fromkeys(face.task_id for face in faces):
            numbers = {face.number for face in faces if face.task_id == task_id}
            self._results.correct(task_id, lambda answer, n=numbers: _without(answer, n))  # type: ignore[misc]
            self._state.erase_old_versions(layout.result(task_id))
        gone = {face.id for face in faces}
        stored = self._state.find(layout.UNKNOWN_GROUPS)
        before = _decoded(stored)
        left = tuple(face for face in before.faces if face.id not in gone)
        self._write(replace(before, faces=left), stored)
        self._state.erase_old_versions(layout.UNKNOWN_GROUPS)

    def _with_new(self, known: _Groups, engine: str) -> _Groups:
        """And the faces of answers that came since, not grouped yet."""
        since = accepted_at(known.newest) - OVERLAP if known.newest else 0.0
        seen = {face.task_id for face in known.faces}
        tasks = [task_id for task_id in self._unknown_since(since) if task_id not in seen]
        found = list(known.faces)
        for task_id in tasks:
            answer = self._results.get(task_id)
            found += _faces_of(answer, engine) if answer else ()
        return _Groups(max([known.newest, *tasks]), tuple(found))

    def _unknown_since(self, since: float) -> Iterator[str]:
        """Task ids of answers with unknown faces, newest first."""
        query = HistoryQuery(since=since, unknown_only=True)
        page = History(self._state).page(query, MOST_READ)
        return (entry.task_id for entry in page.entries)

    def _write(self, groups: _Groups, stored: Stored | None) -> None:
        data = _groups.dump_json(groups)
        try:
            self._state.put_over(layout.UNKNOWN_GROUPS, data, stored)
        except PreconditionFailed:  # another worker looked: whoever asks next sees both
            self._state.erase(layout.UNKNOWN_GROUPS)


def _decoded(stored: Stored | None) -> _Groups:
    if stored is None:
        return _Groups("", ())
    try:
        return _groups.validate_json(stored.data)
    except ValidationError:  # of another release: made again
        return _Groups("", ())


def _faces_of(answer: Answer, engine: str) -> Iterator[UnknownFace]:
    if answer.engine != engine or not answer.width or not answer.height:
        return
    for number, face in enumerate(answer.faces):
        if face.embedding is not None:
            box = FaceBox.of_pixels(face.box, face.score, answer.width, answer.height)
            side = min(face.box[2] - face.box[0], face.box[3] - face.box[1])
            quality = round(min(side, 200.0) * face.score, 1)
            where = box.left, box.top, box.width, box.height
            yield UnknownFace(answer.task_id, number, engine, face.embedding, where, quality)


def _grouped(faces: list[UnknownFace], embedder: EmbedderDescription) -> tuple[UnknownFace, ...]:
    """Each in a group; those that are left keep their ids."""
    if not faces:
        return ()
    rows = [decoded(face.embedding, UNKNOWN_KIND) for face in faces]
    names = list(dict.fromkeys(face.group for face in faces if face.group))
    before = [names.index(face.group) if face.group else -1 for face in faces]
    labels = grouped(np.stack(rows), before, embedder).tolist()
    ids = dict(enumerate(names))
    return tuple(
        replace(face, group=ids.setdefault(label, str(uuid.uuid4())))
        for face, label in zip(faces, labels, strict=True)
    )


def _without(answer: Answer, numbers: set[int]) -> Answer:
    faces = (
        replace(face, embedding=None) if number in numbers else face
        for number, face in enumerate(answer.faces)
    )
    return replace(answer, faces=tuple(faces))
