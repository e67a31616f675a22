"""The embeddings of many photos, computed by one single-threaded process a processor."""

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from facerec_tasks.recognition.embedding.description import EmbedderDescription
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.photo_folder import photos_of
from facerec_tasks.recognition.recognizer import DetectedFaces, Recognizer
from facerec_tasks.recognition.rejection import Rejected

Engine = str | EmbedderDescription

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, eq=False)
class FaceEmbeddings:
    """Who is meant by a photo, [dimension] each; None when no face is found."""

    largest: Embeddings | None
    """The face the service answers with."""
    central: Embeddings | None
    """The face a photo of LFW is labeled by: its protocol has the person in the middle."""


NO_FACE = FaceEmbeddings(None, None)

_recognizer: Recognizer | None = None


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Photos by name, of ``NAME/*.jpg``; raises :class:`.photo_folder.NotAFolder`."""
    people: dict[str, list[Path]] = {}
    for name, photo in photos_of(folder):
        people.setdefault(name, []).append(photo)
    return people


def look_at(
    photos: Sequence[Path], models_dir: Path, engine: Engine, precision: str, jobs: int
) -> dict[Path, FaceEmbeddings]:
    """The face of each photo. Shows progress; photos are looked at once however often they come."""
    unique = list(dict.fromkeys(photos))
    os.environ.update(ONE_THREAD)  # before the children import numpy
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(jobs, _start, (models_dir, engine, precision)) as pool,
        click.progressbar(length=len(unique), label="looking at photos") as shown,
    ):
        faces: dict[Path, FaceEmbeddings] = {}
        for photo, face in zip(unique, pool.imap(_look, unique, chunksize=8), strict=True):
            faces[photo] = face
            shown.update(1)
    return faces


def _start(models_dir: Path, engine: Engine, precision: str) -> None:
    global _recognizer
    _recognizer = Recognizer.load(models_dir, Gallery.empty(engine, precision=precision))


def _look(photo: Path) -> FaceEmbeddings:
    assert _recognizer is not None
    try:
        seen = _recognizer.detect_and_embed(photo.read_bytes())
    except Rejected:
        return NO_FACE
    if not seen.detections:
        return NO_FACE
    return FaceEmbeddings(seen.embeddings[0], seen.embeddings[_most_central(seen)])


def _most_central(seen: DetectedFaces) -> int:
    width, height = seen.detail.size
    boxes = np.array([face.box for face in seen.detections])
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    return int(np.linalg.norm(centers - (width / 2, height / 2), axis=1).argmin())
