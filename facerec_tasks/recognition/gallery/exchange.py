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

from facerec_tasks.recognition.embedding.metrics import Embeddings, decoded, encoded
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery, GalleryError
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord

FORMAT, VERSION = "facerec-people", 1
MAX_LINE = 1 << 26
"""Bytes of a person: some 10,000 faces."""


@dataclass(frozen=True, eq=False)
class ImportedPerson:
    """One line."""

    id: str
    name: str
    faces: tuple[FaceRecord, ...]
    embeddings: Embeddings


def exported(gallery: Gallery) -> Iterator[str]:
    """The lines, without their ends."""
    yield json.dumps(_heading(gallery))
    for index, (id_, name) in enumerate(zip(gallery.ids, gallery.names, strict=True)):
        rows = np.flatnonzero(gallery.person_index == index).tolist()
        faces = [_face(gallery.faces[row], gallery.embeddings[row]) for row in rows]
        yield json.dumps({"id": id_, "name": name, "faces": faces}, ensure_ascii=False)


def imported(gallery: Gallery, lines: Iterable[str]) -> Gallery:
    """The gallery with the people of those lines too; who and what is there already stays.

    Raises :class:`EngineMismatch` for people of another engine or precision, and
    :class:`GalleryError` for lines that cannot be.
    """
    reading = iter(lines)
    _check_heading(gallery, _parsed(next(reading, ""), 1))
    for number, line in enumerate(reading, 2):
        if line.strip():
            gallery = _with(gallery, _person(_parsed(line, number), number))
    return gallery


def _with(gallery: Gallery, person: ImportedPerson) -> Gallery:
    there, photos = {face.id for face in gallery.faces}, set(gallery.photos)
    rows = [row for row, face in enumerate(person.faces) if face.id not in there]
    if not rows:
        return gallery
    faces = [
        FaceRecord(face.id, face.photo if face.photo in photos else "", face.box)
        for face in (person.faces[row] for row in rows)
    ]
    if person.id in gallery.ids:
        return gallery.with_person(person.id, person.embeddings[rows], (), faces)
    return gallery.with_new_person(person.id, person.name, person.embeddings[rows], faces)


def _heading(gallery: Gallery) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "engine": gallery.engine,
        "precision": gallery.precision,
        "dimension": gallery.dimension,
    }


def _check_heading(gallery: Gallery, found: dict[str, Any]) -> None:
    if (found.get("format"), found.get("version")) != (FORMAT, VERSION):
        raise GalleryError(f"line 1 is not of a {FORMAT} file of version {VERSION}")
    given = {name: found.get(name) for name in ("engine", "precision", "dimension")}
    mine = {name: _heading(gallery)[name] for name in given}
    if given != mine:
        raise EngineMismatch(f"these people are of {given}, the collection is of {mine}")


def _parsed(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line[:MAX_LINE])
    except (ValueError, RecursionError) as error:
        raise GalleryError(f"line {number} is no JSON") from error
    if not isinstance(found, dict):
        raise GalleryError(f"line {number} is no JSON object")
    return found


def _person(found: dict[str, Any], number: int) -> ImportedPerson:
    try:
        faces = [
            FaceRecord(f["id"], f.get("photo") or "", _box(f.get("box"))) for f in found["faces"]
        ]
        embeddings = np.stack([decoded(f["embedding"]) for f in found["faces"]])
        return ImportedPerson(found["id"], found["name"], tuple(faces), embeddings)
    except (KeyError, TypeError, ValueError) as error:
        raise GalleryError(f"line {number} is no person: {error!r:.200}") from error


def _box(found: Any) -> FaceBox | None:
    return None if found is None else FaceBox(*(float(number) for number in found))


def _face(record: FaceRecord, embedding: Embeddings) -> dict[str, Any]:
    return {
        "id": record.id,
        "photo": record.photo,
        "box": record.box and list(record.box),
        "embedding": encoded(embedding),
    }
