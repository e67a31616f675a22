"""``python -m benchmarks.accuracy FOLDER``; the last line of the output is one JSON object."""

import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.accuracy import plot
from benchmarks.accuracy.faces import Face, look_at
from benchmarks.accuracy.identification import Identification, identify
from benchmarks.accuracy.verification import (
    Fold,
    Pair,
    Verification,
    make_pairs,
    read_pairs,
    verify,
)
from cli.friendly_errors import friendly_errors
from facerec_tasks.recognition.embedding.metrics import EMBEDDER_TRAITS
from facerec_tasks.recognition.embedding.precision import FP32
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder, photos_in, photos_of
from facerec_tasks.recognition.session import ModelMissing

SHOWN = (0.40, 0.45, 0.50, 0.52, 0.55, 0.60)
"""Thresholds of the table, for resnet128; for another engine in proportion to its own."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--pairs", type=click.Path(exists=True, path_type=Path), help="LFW's pairs.txt.")
@click.option("--engine", type=click.Choice(sorted(EMBEDDER_TRAITS)), default="resnet128")
@click.option("--precision", default=FP32, show_default=True, help="Or int8-… of an int8 network.")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"))
@click.option("--plot", "picture", type=click.Path(path_type=Path), default=Path("accuracy.png"))
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(
    folder: Path,
    pairs: Path | None,
    engine: str,
    precision: str,
    models: Path,
    picture: Path,
    jobs: int,
    as_json: bool,
) -> None:
    """How often the right person is named, on FOLDER/people/NAME/*.jpg and FOLDER/strangers/*.jpg.

    Verification is LFW's protocol, on its own --pairs or on pairs made from the people. FOLDER may
    be LFW itself (NAME/NAME_0001.jpg); then --pairs gives verification alone.
    Identification enrols everybody who has several photos from one of them. Photos are not sorted
    out: the quality gate of enrolment is not used.
    """
    with friendly_errors(NotAFolder, ModelMissing, ValueError, OSError):
        sorted_out = (folder / "people").is_dir()
        people_folder = folder / "people" if sorted_out else folder
        folds = read_pairs(pairs, people_folder) if pairs else None
        people = _people(people_folder) if sorted_out or not folds else {}
        strangers = photos_in(folder / "strangers") if (folder / "strangers").is_dir() else []
        folds = folds or make_pairs(people)
        photos = _photos(folds, people, strangers)
        begin = time.perf_counter()
        faces = look_at(photos, models, engine, precision, jobs)
        seconds = time.perf_counter() - begin
        verification = verify(folds, {p: _distance(p, faces) for fold in folds for p in fold})
        identification = _identified(people, strangers, faces, engine)
    plot.draw(picture, f"{engine} {precision}, {len(faces)} photos", verification, identification)
    _report(verification, identification, faces, picture)
    if as_json:
        click.echo(json.dumps(_as_dict(engine, faces, seconds, verification, identification)))


def _people(folder: Path) -> dict[str, list[Path]]:
    people: dict[str, list[Path]] = {}
    for name, photo in photos_of(folder):
        people.setdefault(name, []).append(photo)
    return people


def _photos(folds: list[Fold], people: dict[str, list[Path]], strangers: list[Path]) -> list[Path]:
    of_pairs = [photo for fold in folds for pair in fold for photo in (pair.one, pair.other)]
    of_people = [photo for photos in people.values() for photo in photos]
    return [*of_pairs, *of_people, *strangers]


def _distance(pair: Pair, faces: dict[Path, Face]) -> float:
    one, other = faces[pair.one].central, faces[pair.other].central
    return math.inf if one is None or other is None else float(np.linalg.norm(one - other))


def _identified(
    people: dict[str, list[Path]], strangers: list[Path], faces: dict[Path, Face], engine: str
) -> Identification | None:
    several = {
        name: [faces[photo].largest for photo in photos]
        for name, photos in people.items()
        if len(photos) > 1
    }
    if len(several) < 3:
        return None
    return identify(several, [faces[photo].largest for photo in strangers], engine)


def _report(
    verification: Verification,
    identification: Identification | None,
    faces: dict[Path, Face],
    picture: Path,
) -> None:
    blind = sum(face.largest is None for face in faces.values())
    click.echo(f"{len(faces)} photos, no face found on {blind}")
    click.echo(
        f"verification, {len(verification.same)} pairs: {100 * verification.accuracy:.2f} "
        f"± {100 * verification.standard_error:.2f} % (threshold {verification.threshold:.3f})"
    )
    if identification:
        click.echo(
            f"identification, {identification.people} people from one photo: "
            f"rank-1 {100 * identification.rank1:.1f} %"
        )
        click.echo("threshold  right   wrong   strangers named")
        for rate in _table(identification):
            shares = (rate.right, rate.wrong, rate.false_names)
            click.echo(f"{rate.threshold:9.3f}" + "".join(f"{100 * s:6.1f} %" for s in shares))
    click.echo(f"drawn in {picture}")


def _table(found: Identification) -> list[Any]:
    scale = found.default.threshold / EMBEDDER_TRAITS["resnet128"].threshold
    return [
        min(found.curve, key=lambda rate: abs(rate.threshold - scale * threshold))
        for threshold in SHOWN
    ]


def _as_dict(
    engine: str,
    faces: dict[Path, Face],
    seconds: float,
    verification: Verification,
    identification: Identification | None,
) -> dict[str, Any]:
    figures: dict[str, float] = {
        "verification_accuracy": verification.accuracy,
        "verification_standard_error": verification.standard_error,
        "photos_without_face": sum(face.largest is None for face in faces.values()),
    }
    if identification:
        default = identification.default
        figures |= {
            "rank1": identification.rank1,
            "named_right": default.right,
            "named_wrong": default.wrong,
            "strangers_named": default.false_names,
        }
    return {
        "engine": engine,
        "photos": len(faces),
        "pairs": len(verification.same),
        "seconds": round(seconds, 1),
        "figures": {k: None if math.isnan(v) else round(v, 5) for k, v in figures.items()},
        "curve": [asdict(rate) for rate in _table(identification)] if identification else [],
    }


if __name__ == "__main__":
    main()
