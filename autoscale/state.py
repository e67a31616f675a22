"""Where the controller keeps what must outlive it, with conditional writes."""

from typing import Protocol

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
