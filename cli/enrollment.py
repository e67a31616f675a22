"""Enrolls many photos and reports why a photo was not accepted."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder, PhotoFolder

MOST_UNSAVED = 64 * 1024 * 1024
"""Bytes of photos."""


def photos_to_enrol(folder: Path) -> Sequence[tuple[str, Path]]:
    """Name and photo of everybody in a folder; tells of whatever else is in it, and why.

    Raises :class:`.NotAFolder` when there is no photo.
    """
    found = PhotoFolder.read(folder)
    for left in found.skipped:
        click.echo(f"{left.path}: skipped, {left.message} ({left.reason})", err=True)
    if not found.photos:
        raise NotAFolder(f"{folder} holds no photos: NAME/photo.jpg is expected")
    return found.photos


def enrol(
    batch: Batch, photos: Sequence[tuple[str, Path]], save: Callable[[], object] = lambda: None
) -> int:
    """Adds photos to a batch, tells of those not taken, and returns how many these are.

    Calls ``save`` whenever there is much to lose, and much held in memory.
    """
    refusals, unsaved = 0, 0
    with click.progressbar(photos, label="looking at photos", file=sys.stderr) as shown:
        for name, path in shown:
            photo = path.read_bytes()
            if refused := batch.add(name, photo):
                refusals += 1
                click.echo(f"{path}: not taken, {refused.message} ({refused.reason})", err=True)
            elif (unsaved := unsaved + len(photo)) > MOST_UNSAVED:
                save()
                unsaved = 0
    return refusals


def enrolled(
    photos: Sequence[tuple[str, Path]], models_dir: Path, engine: str = "resnet128"
) -> Gallery:
    """A gallery of these photos, for this process alone."""
    batch = Batch(Enroller.load(engine, models_dir), Gallery.empty(engine))
    enrol(batch, photos)
    return calibrated(batch.gallery)
