"""Folders of people, ``NAME/*.jpg``, and their enrolment with a word on every photo not taken."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from facerec_tasks.recognition.enrolment import Batch, Enroller
from facerec_tasks.recognition.gallery import Gallery

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


class NotAFolder(Exception):
    """Raised for a folder without a single ``NAME/photo``; says what is expected."""


def photos_of(folder: Path) -> list[tuple[str, Path]]:
    """Name and photo, in the order of their names; raises :class:`NotAFolder`."""
    found = [
        (person.name, photo)
        for person in sorted(folder.iterdir())
        if person.is_dir() and not person.name.startswith(".")
        for photo in sorted(person.iterdir())
        if photo.suffix.lower() in SUFFIXES
    ]
    if not found:
        raise NotAFolder(f"{folder} holds no photos: NAME/photo.jpg is expected")
    return found


def enrol(batch: Batch, photos: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path, bool]]:
    """Adds photos to a batch one by one, tells of the refused, yields whether each was taken."""
    for name, photo in photos:
        refused = batch.add(name, photo.read_bytes())
        if refused:
            click.echo(f"{photo}: not taken, {refused.message} ({refused.reason})", err=True)
        yield name, photo, refused is None


def enrolled(
    photos: Iterable[tuple[str, Path]], models_dir: Path, engine: str = "resnet128"
) -> Gallery:
    """A gallery of these photos, for this process alone."""
    batch = Batch(Enroller.load(engine, models_dir), Gallery.empty(engine))
    for _ in enrol(batch, photos):
        pass
    return batch.gallery
