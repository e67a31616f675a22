"""A gallery as a file.

As it is kept, all numbers little-endian (a machine's working copy is :mod:`.mapped`)::

    16 bytes   FACEREC-GALLERY2
     8 bytes   length of the header, unsigned
     n bytes   header, JSON: engine, precision, dimension, threshold, margin, target_fpir,
               impostor_shift, created_at, people and faces (:mod:`.header`), and embedder where it
               is not one of the product's
               zeros up to a multiple of 64
     4 x rows  int32, which of the people each row belongs to
               zeros up to a multiple of 64
     4 x rows x dimension   float32, the embeddings

Nothing in it is executed, compressed or repeated, so a hostile file is at worst refused.
"""

import json
import mmap
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facerec_tasks.recognition.embedding.description import (
    BUILT_IN,
    DescriptionError,
    EmbedderDescription,
)
from facerec_tasks.recognition.gallery import operating_point
from facerec_tasks.recognition.gallery.errors import AmbiguousName
from facerec_tasks.recognition.gallery.header import (
    LENGTH,
    MAGIC,
    MAGIC_1,
    GalleryError,
    count_faces,
    garbage_later,
    identities,
    read_header,
    up,
)

if TYPE_CHECKING:
    from facerec_tasks.recognition.gallery.gallery import Gallery

GalleryType = TypeVar("GalleryType", bound="Gallery")


@garbage_later()
def to_bytes(gallery: "Gallery", version: int) -> bytes:
    """See :meth:`.Gallery.to_bytes`."""
    if version == 1 and len(set(gallery.names)) != len(gallery.names):
        raise AmbiguousName("several people have one name, which format 1 cannot hold")
    header = {
        "dimension": gallery.dimension,
        **rule_to_header(gallery),
        **_identities(gallery, version),
    }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head = _padded((MAGIC if version == 2 else MAGIC_1) + LENGTH.pack(len(text)) + text)
    person_index = _padded(gallery.person_index.astype("<i4").tobytes())
    return b"".join((head, person_index, gallery.embeddings.astype("<f4").tobytes()))


def _identities(gallery: "Gallery", version: int) -> dict[str, Any]:
    if version == 1:
        return {"names": list(gallery.names), "photos": list(gallery.photos)}
    people = list(zip(gallery.ids, gallery.names, strict=True))
    return {"created_at": gallery.created_at, "people": people, "faces": list(gallery.faces)}


@garbage_later()
def from_bytes(kind: type[GalleryType], data: bytes | mmap.mmap) -> GalleryType:
    """See :meth:`.Gallery.from_bytes`."""
    header, start = read_header(data)
    try:
        dimension, rows = header["dimension"], count_faces(header)
        begin = start + up(4 * rows)
        if not isinstance(dimension, int) or len(data) != begin + 4 * rows * dimension:
            raise GalleryError("not a gallery: its length is not what its header says")
        person_index = np.frombuffer(data, "<i4", rows, start)
        people, faces = identities(header, person_index.tolist())
        return kind(
            names=tuple(name for _, name in people),
            ids=tuple(id_ for id_, _ in people),
            person_index=person_index,
            embeddings=np.frombuffer(data, "<f4", -1, begin).reshape(rows, dimension)
            if rows
            else np.zeros((0, dimension), np.float32),
            photos=tuple(face.photo for face in faces),
            faces=faces,
            created_at=header.get("created_at"),
            **rule_of_header(header),
        )
    except (KeyError, TypeError) as error:
        raise GalleryError(f"not a gallery: {error!r} in its header") from error


def rule_to_header(gallery: "Gallery") -> dict[str, Any]:
    """What made the embeddings, and what names a face."""
    own = {"embedder": gallery.description.to_dict()} if gallery.description else {}
    return {name: getattr(gallery, name) for name in _RULE} | own


_RULE = ("engine", "precision", "threshold", "margin", "target_fpir", "impostor_shift")


def rule_of_header(header: dict[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`rule_to_header`; raises :class:`GalleryError` and :class:`KeyError`.

    In files without a target the threshold was the embedder's own unless somebody set another: then
    it follows now.
    """
    try:
        described = header.get("embedder")
        own = None if described is None else EmbedderDescription.from_json(json.dumps(described))
        if "target_fpir" in header:
            target = header["target_fpir"]
        else:
            usual = BUILT_IN.get(header["engine"])
            as_it_was = usual is not None and header["threshold"] == usual.threshold
            target = operating_point.DEFAULT_TARGET_FPIR if as_it_was else None
    except DescriptionError as error:
        raise GalleryError(f"not a gallery: {error}") from error
    return {
        **{name: header[name] for name in ("engine", "precision", "threshold", "margin")},
        "target_fpir": target,
        "impostor_shift": header.get("impostor_shift", 0.0),
        "description": own,
    }


def _padded(data: bytes) -> bytes:
    return data + bytes(up(len(data)) - len(data))
