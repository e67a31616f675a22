"""Identifiers and faces in arrays: each becomes an object when it is asked for."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.gallery.lazy_sequence import LazySequence
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord


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
