"""Computes all embeddings again by another network, and compares the accuracy first."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from cli.commands.calibrate import without_nan
from cli.gallery_broadcast import broadcast_gallery_change
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery import precision_check
from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.enrollment import face_at
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.gallery.precision_check import Accuracy
from facerec_tasks.recognition.gallery.records import FaceBox
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People

FORCE = click.option(
    "--force",
    is_flag=True,
    help="Switch even if accuracy falls or too few photos are enrolled to tell.",
)


class SwitchRefused(GalleryError):
    """Raised when accuracy would fall, or nobody can tell; says how to insist."""


def switch(
    people: People,
    model_files: ModelFiles,
    like: Gallery,
    name: str,
    *,
    judged: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Embeds everybody as the empty gallery ``like`` does, and prints how accurate that is.

    ``judged``: only if it is as accurate as now, unless ``force`` is given. Raises
    :class:`SwitchRefused`, and what the network raises that cannot be loaded.
    """
    recognizer = model_files.recognizer(like)
    seen: list[Accuracy] = []

    def approve(before: Gallery, after: Gallery) -> None:
        if judged or len(before):
            seen.extend((Accuracy.of(before), Accuracy.of(calibrated(after))))
            if not as_json:
                click.echo(precision_check.table(*seen))
        against = precision_check.objection(*seen) if judged else None
        if against and not force:
            raise SwitchRefused(
                f"not switched to {name}: {against} (--force switches all the same)"
            )
        model_files.publish(after)

    photos = len(people.gallery().photos)
    with click.progressbar(length=photos, label=name, file=sys.stderr) as shown:
        gallery = people.recompute(like, _embedder(recognizer, shown.update), approve)
    model_files.forget_unused()
    broadcast_gallery_change()
    click.echo(_json_of(gallery, seen) if as_json else f"{len(gallery)} people are in {name}")


def _embedder(
    recognizer: Recognizer, looked: Callable[[int], object]
) -> Callable[[bytes, FaceBox | None], Embeddings | None]:
    """For :meth:`.People.recompute`."""

    def embed(photo: bytes, box: FaceBox | None) -> Embeddings | None:
        seen = recognizer.detect_and_embed(photo)
        looked(1)
        nth = face_at(seen, box)
        return None if nth is None else seen.embeddings[nth]

    return embed


def _json_of(gallery: Gallery, seen: list[Accuracy]) -> str:
    """``seen``: before and after, if there was anybody."""
    report: dict[str, Any] = {"engine": gallery.engine, "precision": gallery.precision}
    for when, accuracy in zip(("before", "after"), seen, strict=False):
        report[when] = without_nan(asdict(accuracy))
    return json.dumps(report, indent=2)
