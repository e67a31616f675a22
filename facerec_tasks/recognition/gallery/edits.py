"""Edits of people by id: merge, split, move and remove faces. Each returns another gallery.

A person whose last face goes is gone as well. All raise :class:`.NoSuchPerson` and
:class:`NoSuchFace`.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.gallery import identifiers
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.gallery.person_name import checked_name


class NoSuchFace(GalleryError):
    """Raised for an id that no enrolled face has."""


def merged(gallery: Gallery, person: str, other: str) -> Gallery:
    """``person`` with the faces of ``other`` too, who is gone; the name stays ``person``'s."""
    index, gone = gallery.index(person), gallery.index(other)
    if index == gone:
        raise GalleryError("a person cannot be merged with themselves")
    return _owned(gallery, np.flatnonzero(gallery.person_index == gone), index)


def moved(gallery: Gallery, faces: Sequence[str], person: str) -> Gallery:
    """Those faces given to another person."""
    return _owned(gallery, rows_of(gallery, faces), gallery.index(person))


def split(gallery: Gallery, faces: Sequence[str], name: str, id_: str = "") -> Gallery:
    """Those faces made a person of their own."""
    rows = rows_of(gallery, faces)
    owners = gallery.person_index.copy()
    owners[rows] = len(gallery.names)
    new = (id_ or identifiers.new_id(), checked_name(name))
    return gallery.selected(np.arange(len(owners)), owners, [new])


def without_faces(gallery: Gallery, faces: Collection[str]) -> Gallery:
    """Everybody without those faces."""
    gone = rows_of(gallery, faces)
    stays = np.setdiff1d(np.arange(len(gallery.photos)), gone)
    return gallery.selected(stays, gallery.person_index)


def rows_of(gallery: Gallery, faces: Collection[str]) -> NDArray[np.intp]:
    """Where faces are among the embeddings, in the order given."""
    wanted = set(faces)
    found = {face.id: row for row, face in enumerate(gallery.faces) if face.id in wanted}
    try:
        return np.array([found[face] for face in faces], np.intp)
    except KeyError as error:
        raise NoSuchFace(f"no enrolled face has the id {error.args[0]}") from error


def _owned(gallery: Gallery, rows: NDArray[np.intp], owner: int) -> Gallery:
    owners = gallery.person_index.copy()
    owners[rows] = owner
    return gallery.selected(np.arange(len(owners)), owners)
