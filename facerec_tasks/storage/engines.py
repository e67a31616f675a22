"""Embedders that do not come with the product: network and description in the state bucket."""

import json
from collections.abc import Iterator

from facerec_tasks.errors import NotFound
from facerec_tasks.recognition.embedding.description import (
    BUILT_IN,
    DescriptionError,
    EmbedderDescription,
)
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

MAX_DESCRIPTION = 64 * 1024
"""Bytes."""


class Engines:
    """The embedders that were added."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state

    def add(self, description: EmbedderDescription, network: bytes) -> None:
        """Keeps a network; the description is written last, so that what is listed is whole.

        Raises :class:`DescriptionError` for a name of the product's own, or of another network.
        """
        if description.name in BUILT_IN:
            raise DescriptionError(f"{description.name} comes with the product: choose --name")
        if description.sha256 is None:
            raise DescriptionError("a network that is added is known by its SHA-256")
        there = self.find(description.name)
        if there is not None and there.sha256 != description.sha256:
            raise DescriptionError(f"another network is called {description.name}: choose --name")
        self._state.put(layout.engine_network(description.name, description.sha256), network)
        text = json.dumps(description.to_dict(), indent=2).encode()
        self._state.put(layout.engine_description(description.name), text)

    def find(self, name: str) -> EmbedderDescription | None:
        """What was added under that name; raises :class:`DescriptionError` if it is broken."""
        stored = self._state.find(layout.engine_description(name))
        return None if stored is None else _read(stored.data)

    def get(self, name: str) -> EmbedderDescription:
        """One of the product's own or of those added; raises :class:`DescriptionError`."""
        found = BUILT_IN.get(name) or self.find(name)
        if found is None:
            there = ", ".join([*BUILT_IN, *(one.name for one in self.list())])
            raise DescriptionError(f"no engine is called {name!r:.50}; there are {there}")
        return found

    def list(self) -> Iterator[EmbedderDescription]:
        """Those added, in the order of their names."""
        for entry in self._state.list(layout.GALLERY_ENGINES):
            if entry.name.endswith(".json"):
                try:
                    stored = self._state.get(entry.name)
                except NotFound:  # removed meanwhile
                    continue
                assert stored is not None  # no condition was given
                yield _read(stored.data)

    def remove(self, name: str) -> None:
        """Erases one that was added; raises :class:`DescriptionError` when there is none."""
        found = self.find(name)
        if found is None or found.sha256 is None:
            raise DescriptionError(f"no engine was added under the name {name!r:.50}")
        self._state.erase(layout.engine_description(name))
        self._state.erase(layout.engine_network(name, found.sha256))


def _read(data: bytes) -> EmbedderDescription:
    if len(data) > MAX_DESCRIPTION:
        raise DescriptionError("not a description of an embedder: too long")
    return EmbedderDescription.from_json(data)
