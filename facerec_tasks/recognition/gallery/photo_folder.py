"""Reads folders of people, ``NAME/photo.jpg``, and reports files that are skipped."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from facerec_tasks.recognition.gallery.header import GalleryError
from facerec_tasks.recognition.gallery.person_name import checked_name
from facerec_tasks.recognition.images.sniff import sniff

SNIFFED = 512
"""Bytes of a file that say what it is; its suffix may say anything."""


class NotAFolder(Exception):
    """Raised for a folder without the photos it should hold; says what is expected."""


class SkipReason(StrEnum):
    """Why something in a folder of people is no photo of a person: the whole list."""

    NOT_A_PICTURE = "not-a-picture"
    UNSUPPORTED_FORMAT = "unsupported-format"
    UNREADABLE = "unreadable"
    NESTED = "nested"
    """A folder in a person's folder."""
    EMPTY = "empty"
    """A person's folder without one photo."""
    NAME = "name"
    """A folder whose name no person can have."""
    NO_PERSON = "no-person"
    """A file beside the people's folders."""


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is left out."""

    path: Path
    reason: SkipReason
    message: str


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of people. Hidden files and folders are not looked at."""

    photos: tuple[tuple[str, Path], ...]
    """Name in NFC and photo, in the order of their names."""
    skipped: tuple[Skipped, ...]

    @classmethod
    def read(cls, folder: Path) -> "PhotoFolder":
        """What is in the folder."""
        photos: list[tuple[str, Path]] = []
        skipped: list[Skipped] = []
        for entry in _visible(folder):
            if not entry.is_dir():
                skipped.append(Skipped(entry, SkipReason.NO_PERSON, "NAME/photo.jpg is expected"))
                continue
            try:
                name = checked_name(entry.name)
            except GalleryError as error:
                skipped.append(Skipped(entry, SkipReason.NAME, str(error)))
                continue
            found, left = _sorted_out(entry)
            photos += [(name, photo) for photo in found]
            skipped += left
            if not found:
                skipped.append(Skipped(entry, SkipReason.EMPTY, "there is no photo in it"))
        return cls(tuple(photos), tuple(skipped))


def photos_in(folder: Path) -> list[Path]:
    """The photos that lie in a folder, in the order of their names."""
    return _sorted_out(folder)[0]


def photos_of(folder: Path) -> list[tuple[str, Path]]:
    """Name and photo, in the order of their names; raises :class:`NotAFolder`."""
    found = PhotoFolder.read(folder).photos
    if not found:
        raise NotAFolder(f"{folder} holds no photos: NAME/photo.jpg is expected")
    return list(found)


def _sorted_out(folder: Path) -> tuple[list[Path], list[Skipped]]:
    photos, skipped = [], []
    for entry in _visible(folder):
        if left := _not_a_photo(entry):
            skipped.append(left)
        else:
            photos.append(entry)
    return photos, skipped


def _not_a_photo(path: Path) -> Skipped | None:
    if path.is_dir():
        return Skipped(path, SkipReason.NESTED, "folders in a person's folder are not looked at")
    if not path.is_file():
        return Skipped(path, SkipReason.UNREADABLE, "it is no file")
    try:
        with path.open("rb") as file:
            found = sniff(file.read(SNIFFED))
    except OSError as error:
        return Skipped(path, SkipReason.UNREADABLE, error.strerror or "it cannot be read")
    if found is None:
        return Skipped(path, SkipReason.NOT_A_PICTURE, "it is no picture")
    if not found.is_read:
        return Skipped(path, SkipReason.UNSUPPORTED_FORMAT, f"{found.name} is not read")
    return None


def _visible(folder: Path) -> Iterator[Path]:
    return (entry for entry in sorted(folder.iterdir()) if not entry.name.startswith("."))
