"""``facerec engine``: the networks faces are embedded with."""

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cli.friendly_errors import FriendlyGroup
from facerec_tasks.recognition.conversion import network_inspection
from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.conversion.network_inspection import UnusableNetwork
from facerec_tasks.recognition.embedding.description import (
    BUILT_IN,
    DescriptionError,
    EmbedderDescription,
)
from facerec_tasks.recognition.embedding.presets import PRESETS, scaled
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.collections import Collections
from facerec_tasks.storage.engines import Engines
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket

EXPECTED = (DescriptionError, UnusableNetwork, CheckpointError, OSError)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=FriendlyGroup, expected=EXPECTED)
def engine() -> None:
    """Add, list and remove face-embedding networks; two are built in."""


@engine.command()
@click.argument("file", type=_FILE)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="arcface", show_default=True,
              help="How the network was trained: its input and its distances.")  # fmt: skip
@click.option("--name", help="Name of the engine. [default: the file's name]")
@click.option("--color", type=click.Choice(["rgb", "bgr"]), help="Order of the color channels.")
@click.option("--mean", type=float, help="Subtract this from every pixel (0 to 255).")
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True), help="Divide the difference by this."
)
@click.option(
    "--metric", type=click.Choice(["euclidean", "cosine"]), help="Distance of embeddings."
)
@click.option(
    "--mirrored/--not-mirrored",
    default=None,
    help="Average the embedding with that of the mirror image.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(min=0, min_open=True),
    help="Largest distance of two photos of one person.",
)
@click.option("--license", "license_", default="", help="License of the weights, kept as a note.")
@click.option("--sha256", help="Refuse a file with another SHA-256.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def add(
    file: Path, preset: str, name: str | None, license_: str, sha256: str | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Add a face-embedding network in ONNX (or, with --preset dlib, dlib's .dat).

    The name of its input, its size, a fixed batch and the dimension are read from the file; the
    rest is the preset's unless an option says otherwise. The file is loaded in a process of its own
    with limits first. `facerec people engine NAME` then uses it.

    \b
    Sources of weights and their licenses:
    arcface  AuraFace v1 (Apache-2.0); InsightFace's own: non-commercial
    sface    OpenCV Zoo (Apache-2.0)
    facenet  facenet-pytorch (MIT)
    dlib     dlib-models (CC0-1.0)
    """
    described, network = described_file(file, preset, name or _name_of(file))
    if sha256 and described.sha256 != sha256.lower():
        raise DescriptionError(f"{file}: its SHA-256 is {described.sha256}, not {sha256}")
    changes = {key: value for key, value in given.items() if value is not None}
    described = replace(described, license=license_, **changes)
    Engines(StateBucket(get_settings())).add(described, network)
    if as_json:
        click.echo(json.dumps(described.to_dict(), indent=2))
    else:
        click.echo(f"added {_line(described)}; use it: facerec people engine {described.name}")
        if not license_:
            click.echo(f"weights: {PRESETS[preset].weights}", err=True)


@engine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_(as_json: bool) -> None:
    """List the engines, the one in use first."""
    state = StateBucket(get_settings())
    used = People(state).gallery().embedder
    found = [*BUILT_IN.values(), *Engines(state).list()]
    found.sort(key=lambda one: one.name != used.name)
    if as_json:
        click.echo(json.dumps([one.to_dict() for one in found], indent=2))
        return
    for one in found:
        click.echo(f"{'*' if one.name == used.name else ' '} {_line(one)}")


@engine.command()
@click.argument("name")
def remove(name: str) -> None:
    """Erase an engine that was added and is not in use."""
    state = StateBucket(get_settings())
    if any(used == name for used, _ in Collections(state).engines()):
        raise DescriptionError(f"{name} is in use: change that with `facerec people engine`")
    Engines(state).remove(name)
    click.echo(f"removed {name}")


def described_file(file: Path, preset: str, name: str) -> tuple[EmbedderDescription, bytes]:
    """The preset with what the file itself says, and the network.

    Raises :class:`DescriptionError`, :class:`UnusableNetwork` and :class:`CheckpointError`.
    """
    begun = PRESETS[preset].description
    with tempfile.TemporaryDirectory() as folder:
        if file.suffix == ".dat" and preset == "dlib":
            file = _of_dlib(file, Path(folder) / "network.onnx")
        shape, network = network_inspection.inspect(file, begun.side)
    fitted = scaled(begun, shape.side or begun.side)
    digest = hashlib.sha256(network).hexdigest()
    return replace(fitted, name=name, dimension=shape.dimension, sha256=digest), network


def _of_dlib(file: Path, network: Path) -> Path:
    from facerec_tasks.recognition.conversion.convert import resnet128_of

    network.write_bytes(resnet128_of(file.read_bytes()))
    return network


def _name_of(file: Path) -> str:
    return file.stem.lower().replace(" ", "-")[:40]


def _line(one: EmbedderDescription) -> str:
    known = f", SHA-256 {one.sha256[:16]}" if one.sha256 else ""
    note = f", {one.license}" if one.license else ""
    return f"{one.name}: {one.dimension} numbers of {one.side} pixels, {one.metric}{known}{note}"
