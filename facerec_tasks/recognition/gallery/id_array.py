"""Identifiers and faces in arrays: each becomes an object when it is asked for."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord


class IdArray(Sequence[str]):
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

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(len(self))))
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


class FaceArray(Sequence[FaceRecord]):
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

    @overload
    def __getitem__(self, index: int) -> FaceRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FaceRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> FaceRecord | tuple[FaceRecord, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(len(self))))
        numbers: list[Any] = np.round(self.boxes[index].astype(np.float64), 5).tolist()
        box = None if np.isnan(self.boxes[index]).any() else FaceBox(*numbers)
        return FaceRecord(self.ids[index], self._photos[index], box)
