"""The beginning of a gallery's file (see :mod:`.gallery`), read without numpy: who is enrolled.

The web tier lists people with it and needs no engine for that.

Format 2 lists ``people``, an id and a name each, and ``faces``: an id, the id of the photo or "",
and the box (:class:`.FaceBox`) or null. Format 1 listed ``names`` and ``photos``; it is read, and
written for programs that know no other. An edit writes format 2.
"""

import gc
import json
import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from facerec_tasks.recognition.gallery import identifiers
from facerec_tasks.recognition.gallery.lazy_sequence import LazySequence
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord, PersonRecord

MAGIC_1 = b"FACEREC-GALLERY1"
MAGIC = b"FACEREC-GALLERY2"
LENGTH = struct.Struct("<Q")
ALIGN = 64


class GalleryError(ValueError):
    """Raised for a gallery that cannot be what it says it is, and for an edit that cannot be."""


Who = tuple[Sequence[tuple[str, str]], Sequence[FaceRecord]]
"""Ids and names of people, and their faces, in the order of a file."""


def read_header(data: bytes | mmap.mmap) -> tuple[dict[str, Any], int]:
    """The header and where the rest begins; raises :class:`GalleryError`."""
    prefix = len(MAGIC) + LENGTH.size
    if len(data) < prefix or data[: len(MAGIC)] not in (MAGIC, MAGIC_1):
        raise GalleryError("not a gallery: it does not begin as one")
    (length,) = LENGTH.unpack_from(data, len(MAGIC))
    if length > len(data) - prefix:
        raise GalleryError("not a gallery: it ends within its header")
    try:
        header = json.loads(data[prefix : prefix + length])
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, brackets without end
        raise GalleryError("not a gallery: its header is no JSON") from error
    if not isinstance(header, dict):
        raise GalleryError("not a gallery: its header is no JSON object")
    return header, up(prefix + length)


def count_faces(header: dict[str, Any]) -> int:
    """Raises :class:`GalleryError`."""
    return len(_listed(header, "faces" if "faces" in header else "photos"))


def identities(header: dict[str, Any], owners: Sequence[int]) -> Who:
    """Who is in a file of either format; ``owners`` is each face's person.

    Raises :class:`GalleryError`.
    """
    try:
        people, faces = _listed_people(header, owners)
        return people, tuple(_face(*one) for one in faces)
    except (TypeError, ValueError, IndexError) as error:
        raise GalleryError(f"not a gallery: {error!r} in its header") from error


def _identities_1(header: dict[str, Any], owners: Sequence[int]) -> Who:
    names, photos = _listed(header, "names"), _listed(header, "photos")
    if not all(isinstance(text, str) for text in (*names, *photos)):
        raise ValueError("a name or id is not text")
    ids = identifiers.person_ids(names)
    faces = identifiers.face_ids(ids, owners, photos)
    records = [FaceRecord(id_, photo) for id_, photo in zip(faces, photos, strict=True)]
    return list(zip(ids, names, strict=True)), records


@dataclass(frozen=True)
class GalleryInfo:
    """A gallery without its numbers."""

    engine: str
    """Empty when nobody was ever enrolled."""
    precision: str
    created_at: float | None
    people: tuple[PersonRecord, ...]
    """By name and id."""

    @cached_property
    def by_id(self) -> dict[str, PersonRecord]:
        return {person.id: person for person in self.people}

    @cached_property
    def by_name(self) -> dict[str, list[PersonRecord]]:
        found: dict[str, list[PersonRecord]] = {}
        for person in self.people:
            found.setdefault(person.name, []).append(person)
        return found

    @cached_property
    def owners(self) -> dict[str, PersonRecord]:
        """Whose each face is, by its id; in the order of these ids."""
        faces = sorted(
            ((face.id, person) for person in self.people for face in person.faces),
            key=lambda one: one[0],
        )
        return dict(faces)

    def count_faces(self) -> int:
        return sum(len(person.faces) for person in self.people)


@contextmanager
def garbage_later() -> Iterator[None]:
    """Makes tens of thousands of objects without looking for garbage among them, which takes more
    than half of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@garbage_later()
def info(data: bytes) -> GalleryInfo:
    """Raises :class:`GalleryError`."""
    header, start = read_header(data)
    try:
        owners = struct.unpack_from(f"<{count_faces(header)}i", data, start)
        names, faces = _listed_people(header, owners)
        found: list[list[Any]] = [[] for _ in names]
        for owner, face in zip(owners, faces, strict=True):
            found[owner].append(face)
        everybody = zip(names, found, strict=True)
        people = sorted(
            (PersonRecord(id_, name, _FacesOf(faces)) for (id_, name), faces in everybody),
            key=lambda person: (person.name, person.id),
        )
        made_by = str(header["engine"]), str(header["precision"])
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise GalleryError(f"not a gallery: {error!r}") from error
    return GalleryInfo(*made_by, header.get("created_at"), tuple(people))


class _FacesOf(LazySequence[FaceRecord]):
    """The faces of a person, each made when it is asked for: a page shows few of all."""

    def __init__(self, listed: Sequence[Any]) -> None:
        self._listed = listed

    def __len__(self) -> int:
        return len(self._listed)

    def item(self, index: int) -> FaceRecord:
        listed = self._listed[index]
        try:
            return _face(*listed)
        except (TypeError, ValueError) as error:
            raise GalleryError(f"not a gallery: {error!r} in its header") from error


def _listed_people(
    header: dict[str, Any], owners: Sequence[int]
) -> tuple[Sequence[tuple[str, str]], Sequence[Any]]:
    """Ids and names, and the faces as they are listed."""
    if "faces" not in header:
        return _identities_1(header, owners)
    people = _listed(header, "people")
    faces = _listed(header, "faces")
    if not all(type(one) is list and list(map(type, one)) == [str, str] for one in people):
        raise ValueError("an id or a name is not text")
    if not all(type(one) is list and len(one) == 3 for one in faces):
        raise ValueError("a face has an id, a photo and a box")
    return people, faces


def up(length: int) -> int:
    """The next multiple of :data:`ALIGN`."""
    return -(-length // ALIGN) * ALIGN


def _face(id_: Any, photo: Any, box: Any) -> FaceRecord:
    if type(id_) is not str or type(photo) is not str:
        raise ValueError("the id of a face or a photo is not text")
    if box is None:
        return FaceRecord(id_, photo)
    left, top, width, height, score = box
    # Not so of NaN; what is no number raises TypeError.
    if not (-10 <= left <= 10 >= top >= -10 <= width <= 10 >= height >= -10 <= score <= 10):
        raise ValueError("a box is not on its photo")
    return FaceRecord(id_, photo, FaceBox(left, top, width, height, score))


def _listed(header: dict[str, Any], member: str) -> list[Any]:
    value = header.get(member)
    if not isinstance(value, list):
        raise GalleryError(f"not a gallery: no list {member!r} in its header")
    return value
