"""Invariants of every gallery, also of one read from a hostile file."""

from typing import TYPE_CHECKING, Any

import numpy as np

from facerec_tasks.recognition.embedding.description import (
    DescriptionError,
    EmbedderDescription,
    built_in,
)
from facerec_tasks.recognition.embedding.precision import is_known
from facerec_tasks.recognition.gallery import identifiers
from facerec_tasks.recognition.gallery.errors import EngineMismatch
from facerec_tasks.recognition.gallery.header import GalleryError
from facerec_tasks.recognition.gallery.person_name import checked_name

if TYPE_CHECKING:
    from facerec_tasks.recognition.gallery.gallery import Gallery


def describe_engine(engine: Any) -> EmbedderDescription:
    """Of an embedder that comes with the product; raises :class:`EngineMismatch`."""
    try:
        return built_in(engine)
    except DescriptionError as error:
        raise EngineMismatch(str(error)) from error


def check(gallery: "Gallery") -> None:
    """Raises :class:`GalleryError` for what does not fit together."""
    traits = gallery.description or describe_engine(gallery.engine)
    if traits.name != gallery.engine:
        raise GalleryError(f"the description is of {traits.name}, the gallery of {gallery.engine}")
    rows, names = len(gallery.photos), gallery.names
    if gallery.embeddings.shape != (rows, traits.dimension):
        raise EngineMismatch(
            f"{gallery.engine} makes {traits.dimension} numbers a face, "
            f"not {gallery.embeddings.shape} for {rows} photos"
        )
    if not is_known(gallery.precision):
        raise EngineMismatch(
            f"no precision is called {gallery.precision!r:.50}: another version made this gallery"
        )
    if not all(isinstance(text, str) for text in (*names, *gallery.photos)):
        raise GalleryError("a name or photo id is not text")
    if any(checked_name(name) != name for name in names):
        raise GalleryError("one name has two spellings")
    _check_identifiers(gallery)
    if gallery.person_index.shape != (rows,) or not np.array_equal(
        np.unique(gallery.person_index), np.arange(len(names))
    ):
        raise GalleryError("embeddings and people do not fit together")
    if not _is_distance(gallery.margin) or not (
        gallery.threshold is None or _is_distance(gallery.threshold)
    ):
        raise GalleryError("threshold and margin are distances")
    _check_target(gallery)


def _check_identifiers(gallery: "Gallery") -> None:
    faces = [face.id for face in gallery.faces]
    for ids, count in ((gallery.ids, len(gallery.names)), (faces, len(gallery.photos))):
        if len(ids) != count or len(set(ids)) != count:
            raise GalleryError("two people or two faces have one id, or one has none")
        if not all(map(identifiers.is_id, ids)):
            raise GalleryError("the id of a person or a face is no UUID")
    if [face.photo for face in gallery.faces] != list(gallery.photos):
        raise GalleryError("faces and photos do not fit together")
    if not (gallery.created_at is None or isinstance(gallery.created_at, int | float)):
        raise GalleryError("the time of its creation is no number")


def _check_target(gallery: "Gallery") -> None:
    target, shift = gallery.target_fpir, gallery.impostor_shift
    if target is not None and not (_is_distance(target) and 0 < target < 1):
        raise GalleryError("the target is a share of searches, above 0 and below 1")
    if target is not None and gallery.threshold is None:
        raise GalleryError("a gallery that names the nearest however far has no target")
    if not (isinstance(shift, int | float) and abs(shift) < 1e6) or isinstance(shift, bool):
        raise GalleryError("the shift is a distance")


def _is_distance(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
