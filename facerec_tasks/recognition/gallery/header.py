"""The beginning of a gallery's file (see :mod:`.gallery`), read without numpy: who is known.

The web tier lists people with it and needs no engine for that.
"""

import json
import mmap
import struct
from typing import Any

MAGIC = b"FACEREC-GALLERY1"
LENGTH = struct.Struct("<Q")
ALIGN = 64


class GalleryError(ValueError):
    """Raised for a gallery that cannot be what it says it is, and for an edit that cannot be."""


def read_header(data: bytes | mmap.mmap) -> tuple[dict[str, Any], int]:
    """The header and where the rest begins; raises :class:`GalleryError`."""
    prefix = len(MAGIC) + LENGTH.size
    if len(data) < prefix or data[: len(MAGIC)] != MAGIC:
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


def people(data: bytes) -> dict[str, tuple[str, ...]]:
    """Everybody's photos by name, as ids; raises :class:`GalleryError`.

    An id is empty where no photo was kept, as of an imported ``data.pt``.
    """
    header, start = read_header(data)
    found: dict[str, list[str]] = {}
    try:
        names, photos = header["names"], header["photos"]
        person_index = struct.unpack_from(f"<{len(photos)}i", data, start)
        for owner, photo in zip(person_index, photos, strict=True):
            found.setdefault(names[owner], []).append(photo)
    except (KeyError, TypeError, IndexError, struct.error) as error:
        raise GalleryError(f"not a gallery: {error!r}") from error
    return {name: tuple(found[name]) for name in sorted(found)}


def up(length: int) -> int:
    """The next multiple of :data:`ALIGN`."""
    return -(-length // ALIGN) * ALIGN
