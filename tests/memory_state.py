"""The controller's state bucket in memory; it passes the same tests."""

import itertools

from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.storage.state_bucket import Stored


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
