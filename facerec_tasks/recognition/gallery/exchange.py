"""People as lines of JSON, for other programs and other systems: ids, names, boxes, embeddings.

The first line is ``{"format": "facerec-people", "version": 1, "engine": …, "precision": …,
"dimension": …}``. Each further line is a person: ``{"id": …, "name": …, "faces": [{"id": …,
"photo": …, "box": [left, top, width, height, score] or null, "embedding": …}]}``; a box is in
shares of its photo, an embedding base64 of little-endian float32. Photos are not in it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from facerec_tasks.recognition.embedding.metrics import EncodedEmbedding
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery, GalleryError
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord

FORMAT, VERSION = "facerec-people", 1
MAX_LINE = 1 << 26
"""Bytes of a person: some 10,000 faces."""


@dataclass(frozen=True, eq=False)
class _Face:
    id: str
    embedding: EncodedEmbedding
    photo: str | None = None
    box: FaceBox | None = None


@dataclass(frozen=True, eq=False)
class _Person:
    """One line."""

    id: str
    name: str
    faces: tuple[_Face, ...]

    def __post_init__(self) -> None:
        if len({face.embedding.shape for face in self.faces}) != 1:
            raise ValueError("no faces, or embeddings of several lengths")


_person = TypeAdapter(_Person)


def exported(gallery: Gallery) -> Iterator[str]:
    """The lines, without their ends."""
    yield json.dumps(_heading(gallery))
    for index, (id_, name) in enumerate(zip(gallery.ids, gallery.names, strict=True)):
        rows = np.flatnonzero(gallery.person_index == index).tolist()
        faces = ((gallery.faces[row], gallery.embeddings[row]) for row in rows)
        listed = tuple(_Face(face.id, numbers, face.photo, face.box) for face, numbers in faces)
        yield _person.dump_json(_Person(id_, name, listed)).decode()


def imported(gallery: Gallery, lines: Iterable[str]) -> Gallery:
    """The gallery with the people of those lines too; who and what is there already stays.

    Raises :class:`EngineMismatch` for people of another engine or precision, and
    :class:`GalleryError` for lines that cannot be.
    """
    reading = iter(lines)
    _check_heading(gallery, next(reading, ""))
    for number, line in enumerate(reading, 2):
        if line.strip():
            try:
                person = _person.validate_json(line[:MAX_LINE])
            except ValidationError as error:
                raise GalleryError(f"line {number} is no person: {error!s:.200}") from error
            gallery = _with(gallery, person)
    return gallery


def _with(gallery: Gallery, person: _Person) -> Gallery:
    there, photos = {face.id for face in gallery.faces}, set(gallery.photos)
    new = [face for face in person.faces if face.id not in there]
    if not new:
        return gallery
    embeddings = np.stack([face.embedding for face in new])
    faces = [
        FaceRecord(face.id, face.photo if face.photo in photos else "", face.box) for face in new
    ]
    if person.id in gallery.ids:
        return gallery.with_person(person.id, embeddings, (), faces)
    return gallery.with_new_person(person.id, person.name, embeddings, faces)


def _heading(gallery: Gallery) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "engine": gallery.engine,
        "precision": gallery.precision,
        "dimension": gallery.dimension,
    }


def _check_heading(gallery: Gallery, line: str) -> None:
    try:
        found = json.loads(line[:MAX_LINE])
    except (ValueError, RecursionError):
        found = None
    found = found if isinstance(found, dict) else {}
    if (found.get("format"), found.get("version")) != (FORMAT, VERSION):
        raise GalleryError(f"line 1 is not of a {FORMAT} file of version {VERSION}")
    given = {name: found.get(name) for name in ("engine", "precision", "dimension")}
    mine = {name: _heading(gallery)[name] for name in given}
    if given != mine:
        raise EngineMismatch(f"these people are of {given}, the collection is of {mine}")
