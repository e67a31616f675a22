"""Where the controller keeps what must outlive it, with conditional writes."""

import itertools
from typing import Protocol

from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.storage.state_bucket import Stored


class StateStore(Protocol):
    """What the controller needs of a :class:`facerec_tasks.storage.state_bucket.StateBucket`."""

    def find(self, name: str) -> Stored | None:
        """An object, or none when there is no such object."""

    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        """Stores an object and gives its ETag. Raises :class:`PreconditionFailed`."""

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names that begin with ``prefix``, in their order."""


class MemoryStateStore:
    """The same in memory, for tests and for trying things."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self._versions = itertools.count(1)

    def find(self, name: str) -> Stored | None:
        return self.objects.get(name)

    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> str:
        found = self.objects.get(name)
        if if_absent and found is not None:
            raise PreconditionFailed(f"{name} exists")
        if if_match is not None and (found is None or found.etag != if_match):
            raise PreconditionFailed(f"{name} is not {if_match}")
        etag = f'"{next(self._versions)}"'
        self.objects[name] = Stored(data, etag)
        return etag

    def names(self, prefix: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.objects if name.startswith(prefix)))
