"""``python -m benchmarks.identification FOLDER``; with ``--json`` the last line is one object."""

import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.identification import det_plot
from benchmarks.identification.faces import FaceEmbeddings, look_at, people_in
from benchmarks.identification.protocol import IdentificationRun, Plan, identify, plan, sizes
from cli.commands.engine import described_file
from cli.friendly_errors import friendly_errors
from facerec_tasks.recognition.embedding.description import (
    BUILT_IN,
    EmbedderDescription,
    built_in,
)
from facerec_tasks.recognition.embedding.precision import FP32
from facerec_tasks.recognition.embedding.presets import PRESETS
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.operating_point import DEFAULT_TARGET_FPIR
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder, photos_in
from facerec_tasks.recognition.session import ModelMissing

SIZES = (40, 400, 1600)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--people",
    type=click.IntRange(3),
    multiple=True,
    help="Enrolled people. [default: 40 400 1600]",
)
@click.option("--strangers", type=click.IntRange(1), default=1500, show_default=True)
@click.option(
    "--photos", type=click.IntRange(1), default=1, show_default=True, help="Enrolled of each."
)
@click.option(
    "--target-fpir", type=click.FloatRange(0, 0.5, min_open=True), default=DEFAULT_TARGET_FPIR
)
@click.option("--engine", type=click.Choice(sorted(BUILT_IN)), default="resnet128")
@click.option("--network", type=click.Path(exists=True, path_type=Path), help="ONNX, instead.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="arcface", show_default=True)
@click.option("--precision", default=FP32, show_default=True, help="Or int8-… of an int8 network.")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"))
@click.option("--plot", "picture", type=click.Path(path_type=Path), default=Path("det.png"))
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(
    folder: Path,
    people: tuple[int, ...],
    strangers: int,
    photos: int,
    target_fpir: float,
    engine: str,
    network: Path | None,
    preset: str,
    precision: str,
    models: Path,
    picture: Path,
    jobs: int,
    as_json: bool,
) -> None:
    """How often enrolled people are named rightly, and strangers at all, on FOLDER/NAME/*.jpg.

    The face in the middle of each photo counts, as in LFW. Everybody is enrolled from --photos
    photos; up to three others of each are searched for, and photos of people who are not enrolled.
    The threshold follows from --target-fpir and the number of people. Photos are not sorted out:
    the quality gate of enrollment is not used. Every photo is looked at once.
    """
    with friendly_errors(NotAFolder, ModelMissing, ValueError, OSError):
        known, alone = _read(folder)
        plans = [
            plan(known, alone, size, photos, strangers)
            for size in sizes(known, photos, people or SIZES)
        ]
        begin = time.perf_counter()
        with _models(models, engine, network, preset) as (folder, described):
            looked_at = look_at(_photos(plans), folder, described, precision, jobs)
        seconds = time.perf_counter() - begin
        faces = {photo: found.central for photo, found in looked_at.items()}
        empty = Gallery.empty(described, precision=precision, target_fpir=target_fpir)
        found = [identify(empty, one, faces, photos) for one in plans]
    det_plot.draw(picture, f"{empty.engine} {precision}, {len(faces)} photos", found, target_fpir)
    _report(found, looked_at, picture)
    if as_json:
        click.echo(json.dumps(_as_dict(empty.engine, precision, seconds, found)))


@contextmanager
def _models(
    models: Path, engine: str, network: Path | None, preset: str
) -> Iterator[tuple[Path, EmbedderDescription]]:
    """A folder with the detector's networks and the embedder's, and what describes that."""
    if network is None:
        yield models, built_in(engine)
        return
    described, data = described_file(network, preset, "own-network")
    with tempfile.TemporaryDirectory() as made:
        for path in models.resolve().glob("*.onnx"):
            (Path(made) / path.name).symlink_to(path)
        (Path(made) / f"{described.name}.onnx").write_bytes(data)
        yield Path(made), described


def _read(folder: Path) -> tuple[dict[str, list[Path]], list[Path]]:
    """People by name, and strangers where they have a folder of their own."""
    apart = (folder / "people").is_dir()
    strangers = folder / "strangers"
    people = people_in(folder / "people" if apart else folder)
    return people, photos_in(strangers) if apart and strangers.is_dir() else []


def _photos(plans: list[Plan]) -> list[Path]:
    return [
        photo
        for one in plans
        for photo in (
            *(photo for photos in one.enrolled.values() for photo in photos),
            *(photo for _, photo in one.probes),
            *one.strangers,
        )
    ]


def _report(
    found: list[IdentificationRun], looked_at: dict[Path, FaceEmbeddings], picture: Path
) -> None:
    blind = sum(face.central is None for face in looked_at.values())
    click.echo(f"{len(looked_at)} photos, no face found on {blind}")
    click.echo("people  photos  threshold   right   wrong  unknown  strangers named   (of)")
    for one in found:
        shares = f"{_percent(one.right, 8)}{_percent(one.wrong, 8)}{_percent(one.unknown, 9)}"
        named = f"{_percent(one.strangers_named, 17)}{one.strangers:7}"
        click.echo(f"{one.people:6,}{one.photos:8}{one.threshold:11.3f}{shares}{named}")
    click.echo("confidence of the answers of the largest gallery: it says, and it holds")
    for bin in found[-1].confidence:
        click.echo(
            f"  {bin.low:.2f} to {bin.high:.2f}:{_percent(bin.says, 9)}{_percent(bin.holds, 9)}"
            f"  ({bin.answers} answers)"
        )
    click.echo(f"drawn in {picture}")


def _percent(share: float, width: int) -> str:
    return f"{'-' if math.isnan(share) else f'{100 * share:.2f} %':>{width}}"


def _as_dict(
    engine: str, precision: str, seconds: float, found: list[IdentificationRun]
) -> dict[str, Any]:
    figures = {
        f"{name}_{one.people}x{one.photos}": None if math.isnan(value) else value
        for one in found
        for name, value in one.figures.items()
    }
    return {
        "engine": engine,
        "precision": precision,
        "seconds": round(seconds, 1),
        "figures": figures,
        "confidence": [asdict(bin) for bin in found[-1].confidence],
    }


if __name__ == "__main__":
    main()
