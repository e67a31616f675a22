"""Identifiers of people and of enrolled faces: UUIDs. Names are labels and may repeat.

Galleries of format 1 have none. What they hold gets identifiers that follow from the names and
photos, so that every process that reads such a file means the same person by the same identifier
until the first edit writes them down.
"""

import re
import uuid
from collections.abc import Sequence

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMESPACE = uuid.UUID("5ef3a9f6-6a32-5f6e-9d0e-2f7c3f4d1b60")


def new_id() -> str:
    """A random UUID (RFC 9562, version 4)."""
    return str(uuid.uuid4())


def is_id(text: str) -> bool:
    """Whether this is spelled as :func:`new_id` does."""
    return _ID.fullmatch(text) is not None


def person_ids(names: Sequence[str]) -> tuple[str, ...]:
    """Of the people of a format 1 gallery, whose names are unique."""
    return tuple(_derived("person", name) for name in names)


def face_ids(
    people: Sequence[str], owners: Sequence[int], photos: Sequence[str]
) -> tuple[str, ...]:
    """Of the faces of a format 1 gallery, by the ids of its people.

    ``owners`` is whose each face is, ``photos`` the id of its photo or "".
    """
    seen: dict[tuple[int, str], int] = {}
    found = []
    for owner, photo in zip(owners, photos, strict=True):
        nth = seen[owner, photo] = seen.get((owner, photo), -1) + 1
        found.append(_derived("face", people[owner], photo, str(nth)))
    return tuple(found)


def image_id(photo: str) -> str:
    """A UUID for the photo of that id, for protocols that want one."""
    return _derived("image", photo)


def _derived(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\0".join(parts)))
