"""A machine's working copy of a gallery: a file whose pages all its processes share.

A gallery as it is kept (:mod:`.gallery`) has to be read: its header is JSON, and the names of a
hundred thousand people are tens of megabytes of objects in every process. Whoever fetches a gallery
reads and checks it once and writes it down like this, ready to be mapped. What is searched lies in
the file, the means of people with several photos included; a name is decoded when it is the answer.

::

    16 bytes   FACEREC-MAPPED-2
     8 bytes   length of the header, unsigned, little-endian
     n bytes   header, JSON: engine, embedder, precision, threshold, margin, target_fpir,
               impostor_shift, and where the arrays lie
               zeros up to a multiple of 64, before each array too
     arrays    in the order of _ARRAYS

It never leaves the machine, so it is trusted as the machine's other files are.
"""

import json
import mmap
import uuid
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.metrics import Block
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.header import LENGTH, GalleryError, up
from facerec_tasks.recognition.gallery.lazy_sequence import LazySequence
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord
from facerec_tasks.recognition.gallery.serialization import rule_of_header, rule_to_header

MAGIC = b"FACEREC-MAPPED-2"

_ARRAYS = {
    "person_index": "<i4",
    "squares": "<f4",
    "embeddings": "<f4",
    "mean_person_index": "<i4",
    "mean_squares": "<f4",
    "means": "<f4",
    "name_ends": "<i8",
    "names": "u1",
    "photo_ends": "<i8",
    "photos": "u1",
    "ids": "u1",
    "face_ids": "u1",
    "boxes": "<f4",
}
Arrays = dict[str, NDArray[Any]]


class StringArray(LazySequence[str]):
    """Many texts in one array, each decoded when it is asked for."""

    def __init__(self, ends: NDArray[np.int64], octets: NDArray[np.uint8]) -> None:
        """``ends``: where each text ends in ``octets``, UTF-8 one after another."""
        self._ends, self._octets = ends, octets

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        encoded = [text.encode() for text in texts]
        ends = np.fromiter(accumulate(map(len, encoded)), np.int64, len(encoded))
        return cls(ends, np.frombuffer(b"".join(encoded), np.uint8))

    def __len__(self) -> int:
        return len(self._ends)

    def item(self, index: int) -> str:
        at = range(len(self))[index]
        begin = int(self._ends[at - 1]) if at else 0
        return self._octets[begin : int(self._ends[at])].tobytes().decode()

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """As they were given."""
        return self._ends, self._octets


class IdArray(LazySequence[str]):
    """UUIDs, 16 bytes each."""

    def __init__(self, octets: NDArray[np.uint8]) -> None:
        """[ids, 16]"""
        self.octets = octets

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """Raises :class:`ValueError` for what is no UUID."""
        joined = b"".join(uuid.UUID(id_).bytes for id_ in ids)
        return cls(np.frombuffer(joined, np.uint8).reshape(-1, 16))

    def __len__(self) -> int:
        return len(self.octets)

    def item(self, index: int) -> str:
        return str(uuid.UUID(bytes=self.octets[index].tobytes()))

    def __contains__(self, id_: object) -> bool:
        return isinstance(id_, str) and len(self._places(id_)) > 0

    def index(self, id_: str, start: int = 0, stop: int | None = None) -> int:
        """Where it is; raises :class:`ValueError` when it is not here."""
        places = self._places(id_)
        if not len(places):
            raise ValueError(f"{id_} is not here")
        return int(places[0])

    def _places(self, id_: str) -> NDArray[np.intp]:
        wanted = np.frombuffer(uuid.UUID(id_).bytes, np.uint8)
        return np.flatnonzero((self.octets == wanted).all(axis=1))


class FaceArray(LazySequence[FaceRecord]):
    """Enrolled faces."""

    def __init__(self, ids: IdArray, photos: Sequence[str], boxes: NDArray[np.float32]) -> None:
        """``boxes`` [faces, 5] as :class:`.FaceBox`; NaN where there is none."""
        self.ids, self.boxes = ids, boxes
        self._photos = photos

    @staticmethod
    def boxes_of(faces: Sequence[FaceRecord]) -> NDArray[np.float32]:
        """The boxes as an array."""
        found = [face.box or (np.nan,) * 5 for face in faces]
        return np.array(found, np.float32).reshape(-1, 5)

    def __len__(self) -> int:
        return len(self.ids)

    def item(self, index: int) -> FaceRecord:
        numbers: list[Any] = np.round(self.boxes[index].astype(np.float64), 5).tolist()
        box = None if np.isnan(self.boxes[index]).any() else FaceBox(*numbers)
        return FaceRecord(self.ids[index], self._photos[index], box)


def to_bytes(gallery: Gallery) -> bytes:
    """The working copy of a gallery."""
    photos, *means = gallery.blocks
    none = Block(photos.rows[:0], photos.person_index[:0])
    mean = means[0] if means else none
    (name_ends, names), (photo_ends, photo_ids) = (
        StringArray.of(texts).arrays for texts in (gallery.names, gallery.photos)
    )
    found = (
        photos.person_index, photos.squares, photos.rows,
        mean.person_index, mean.squares, mean.rows,
        name_ends, names, photo_ends, photo_ids,
        IdArray.of(gallery.ids).octets, IdArray.of(face.id for face in gallery.faces).octets,
        FaceArray.boxes_of(gallery.faces),
    )  # fmt: skip
    arrays = [
        np.ascontiguousarray(array, kind)
        for array, kind in zip(found, _ARRAYS.values(), strict=True)
    ]
    header = {
        **rule_to_header(gallery),
        "created_at": gallery.created_at,
        "shapes": [array.shape for array in arrays],
    }
    text = json.dumps(header).encode()
    parts = [MAGIC + LENGTH.pack(len(text)) + text, *(array.tobytes() for array in arrays)]
    return b"".join(part + bytes(up(len(part)) - len(part)) for part in parts)


def open_file(path: Path) -> Gallery:
    """Maps a working copy; raises :class:`GalleryError` for any other file."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            header, arrays = _parts(data)
        except (ValueError, KeyError, TypeError) as error:  # an empty file cannot be mapped either
            raise GalleryError(f"{path} is no working copy of a gallery: {error}") from error
    photos = Block(arrays["embeddings"], arrays["person_index"], arrays["squares"])
    means = Block(arrays["means"], arrays["mean_person_index"], arrays["mean_squares"])
    photo_ids = StringArray(arrays["photo_ends"], arrays["photos"])
    return Gallery(
        names=StringArray(arrays["name_ends"], arrays["names"]),
        ids=IdArray(arrays["ids"]),
        faces=FaceArray(IdArray(arrays["face_ids"]), photo_ids, arrays["boxes"]),
        created_at=header["created_at"],
        person_index=photos.person_index,
        embeddings=photos.rows,
        photos=photo_ids,
        **rule_of_header(header),
        searched=(photos, means) if len(means.rows) else (photos,),
    )


def _parts(data: mmap.mmap) -> tuple[dict[str, Any], Arrays]:
    """The header and the arrays; raises :class:`ValueError` and its like."""
    prefix = len(MAGIC) + LENGTH.size
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not begin as one")
    (length,) = LENGTH.unpack_from(data, len(MAGIC))
    header = json.loads(data[prefix : prefix + length])
    position, arrays = up(prefix + length), {}
    for (name, kind), shape in zip(_ARRAYS.items(), header["shapes"], strict=True):
        count = int(np.prod(shape))
        flat = np.frombuffer(data, kind, count, position) if count else np.empty(0, kind)
        arrays[name] = flat.reshape(shape)
        position += up(flat.nbytes)
    return header, arrays
