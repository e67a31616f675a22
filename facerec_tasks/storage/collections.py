"""Collections: galleries by name, each with photos of its own. Knows no numbers of an engine.

The default collection is the gallery there has always been. Another one lies in a folder of its
name (:mod:`.layout`) and exists while its gallery does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.recognition.gallery.header import GalleryError, read_header
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

DEFAULT = "default"
NAME = re.compile(r"[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,254}")
"""As Amazon Rekognition's, but for a dot at the beginning: names are also names of folders."""


class NoSuchCollection(GalleryError):
    """Raised for a collection that was never created, or is deleted."""


class CollectionExists(GalleryError):
    """Raised when a collection is created twice."""


@dataclass(frozen=True)
class CollectionKeys:
    """Keys of a collection's objects in the state bucket."""

    gallery: str
    photos: str
    """Prefix."""


def keys_of(collection: str) -> CollectionKeys:
    """Where a collection lies; raises :class:`NoSuchCollection` for what is no name of one."""
    if collection == DEFAULT:
        return CollectionKeys(layout.GALLERY_CURRENT, layout.GALLERY_PHOTOS)
    if not NAME.fullmatch(collection):
        raise NoSuchCollection(f"no collection is called {collection[:255]!r}")
    folder = layout.collection_folder(collection)
    return CollectionKeys(folder + "current.gallery", folder + "photos/")


class Collections:
    """All of them."""

    def __init__(self, state: StateBucket) -> None:
        self._state = state

    def names(self) -> tuple[str, ...]:
        """In their order, the default one first."""
        end = "/current.gallery"
        below = layout.GALLERY_COLLECTIONS
        found = (name.removeprefix(below) for name in self._state.names(below))
        return (DEFAULT, *sorted(n.removesuffix(end) for n in found if n.endswith(end)))

    def engines(self) -> Iterator[tuple[str, str]]:
        """Engine and precision of each; raises :class:`GalleryError`."""
        for name in self.names():
            stored = self._state.find(keys_of(name).gallery)
            if stored is not None:
                header, _ = read_header(stored.data)
                yield str(header.get("engine")), str(header.get("precision"))

    def create(self, collection: str, gallery: bytes) -> None:
        """With a gallery of nobody; raises :class:`CollectionExists`."""
        if collection == DEFAULT:
            raise CollectionExists("the default collection is always there")
        try:
            self._state.put(keys_of(collection).gallery, gallery, if_absent=True)
        except PreconditionFailed as error:
            raise CollectionExists(f"there is a collection {collection}") from error

    def delete(self, collection: str) -> None:
        """Erases everybody in it: embeddings, photos and every old version of both.

        The gallery goes first: who enrolls at the same moment finds no collection.
        Raises :class:`NoSuchCollection`.
        """
        if collection == DEFAULT:
            raise GalleryError("the default collection cannot be deleted")
        where = keys_of(collection)
        if self._state.find(where.gallery) is None:
            raise NoSuchCollection(f"no collection is called {collection}")
        self._state.erase(where.gallery)
        for entry in list(self._state.list(layout.collection_folder(collection))):
            self._state.erase(entry.name)
