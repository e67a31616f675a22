"""Errors of galleries, below :class:`.header.GalleryError`."""

from facerec_tasks.recognition.gallery.header import GalleryError


class EngineMismatch(GalleryError):
    """Raised when embeddings of one engine meet a gallery of another; says the remedy."""


class NoSuchPerson(GalleryError):
    """Raised when a person to remove or rename is not in the gallery."""


class AmbiguousName(GalleryError):
    """Raised when a name that several people bear is to say which of them is meant."""


class NameTaken(GalleryError):
    """Raised when a person is renamed, by name, to somebody who is there already."""
