"""Folders of people: ``NAME/*.jpg``."""

from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


class NotAFolder(Exception):
    """Raised for a folder without the photos it should hold; says what is expected."""


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder, in the order of their names."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)


def photos_of(folder: Path) -> list[tuple[str, Path]]:
    """Name and photo, in the order of their names; raises :class:`NotAFolder`."""
    found = [
        (person.name, photo)
        for person in sorted(folder.iterdir())
        if person.is_dir() and not person.name.startswith(".")
        for photo in photos_in(person)
    ]
    if not found:
        raise NotAFolder(f"{folder} holds no photos: NAME/photo.jpg is expected")
    return found
