"""``facerec people``: enroll and list people; the group of the other commands."""

import json
from pathlib import Path

import click
import numpy as np

from cli.commands.calibrate import calibrate
from cli.commands.people_edit import COMMANDS
from cli.commands.people_engine import engine
from cli.commands.precision import precision
from cli.enrolled import enrolled_people
from cli.enrollment import enrol, photos_to_enrol
from cli.friendly_errors import FriendlyGroup
from cli.gallery_broadcast import broadcast_gallery_change
from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.embedding.description import DescriptionError
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.gallery.data_pt import read_gallery
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery, GalleryError
from facerec_tasks.recognition.gallery.person_name import checked_name
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.collections import DEFAULT
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.wording import counted

EXPECTED = (
    GalleryError, DescriptionError, CheckpointError, ModelMissing, NotAFolder, OSError,
)  # fmt: skip
_PHOTO = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=FriendlyGroup, expected=EXPECTED)
@click.option("--collection", default=DEFAULT, help="Collection to use instead of the default one.")
@click.pass_context
def people(context: click.Context, collection: str) -> None:
    """Enroll, list, edit and remove people, in the default collection or another one.

    PERSON is an id, or a name that only one person has.
    """
    context.obj = collection


people.add_command(calibrate)
people.add_command(precision)
for command in COMMANDS:
    people.add_command(command)
people.add_command(engine)


@people.command()
@click.argument("name")
@click.argument("photos", nargs=-1, required=True, type=_PHOTO)
@click.option("--force", is_flag=True, help="Also enroll small, blurred and look-alike faces.")
def add(name: str, photos: tuple[Path, ...], force: bool) -> None:
    """Enroll one person from one or more photos."""
    _enrol([(name, photo) for photo in photos], force=force)


@people.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--threshold",
    type=click.FloatRange(min=0),
    help="data.pt: largest distance at which a face is named.",
)
@click.option("--replace", is_flag=True, help="data.pt: remove all enrolled people first.")
@click.option(
    "--without-model", is_flag=True, help="data.pt: import even if FaceNet is not converted here."
)
@click.option(
    "--force", is_flag=True, help="Folder: also enroll small, blurred and look-alike faces."
)
def import_(
    source: Path, threshold: float | None, replace: bool, without_model: bool, force: bool
) -> None:
    """Enroll the people of a folder of NAME/photo.jpg, or import a data.pt.

    Prints a reason for every file and folder that is left out. Exits with 1 when no photo was
    enrolled.

    A data.pt (a list of 1x512 FaceNet tensors and a list of names) is used without a threshold:
    every face is given the nearest name, unless --threshold is given.
    """
    if source.is_dir():
        _enrol(list(photos_to_enrol(source)), force=force)
    else:
        gallery = read_gallery(source.read_bytes(), threshold)
        if not without_model:  # workers would have to give every photo back
            Embedder(gallery.embedder, get_settings().models_dir)
        _take_over(gallery, replace=replace)


@people.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--ids", "with_ids", is_flag=True, help="Show the id of each person.")
def list_(as_json: bool, with_ids: bool) -> None:
    """List all people with their number of photos."""
    gallery = enrolled_people().gallery()
    counts = np.bincount(gallery.person_index, minlength=len(gallery)).tolist()
    everybody = sorted(zip(gallery.names, gallery.ids, counts, strict=True))
    if as_json:
        rule = {"threshold": gallery.threshold, "margin": gallery.margin}
        made_by = {"engine": gallery.engine, "precision": gallery.precision}
        photos = {name: 0 for name, _, _ in everybody}
        for name, _, count in everybody:
            photos[name] += count
        ids = [{"id": id_, "name": name, "photos": count} for name, id_, count in everybody]
        click.echo(json.dumps({**made_by, **rule, "people": photos, "ids": ids}, indent=2))
        return
    for name, id_, count in everybody:
        click.echo(f"{name}\t{count}\t{id_}" if with_ids else f"{name}\t{count}")
    click.echo(f"{len(everybody)} people, engine {gallery.engine} {gallery.precision}", err=True)


@people.command()
@click.argument("names", nargs=-1, required=True)
def remove(names: tuple[str, ...]) -> None:
    """Remove people: embeddings, photos and every old version of both."""
    for name in names:
        enrolled_people().remove(name)
        click.echo(f"removed {name}")
    broadcast_gallery_change()


@people.command()
@click.argument("old")
@click.argument("new")
def rename(old: str, new: str) -> None:
    """Give a person another name."""
    enrolled_people().rename(old, new)
    click.echo(f"{old} is now {new}")
    broadcast_gallery_change()


def _enrol(photos: list[tuple[str, Path]], *, force: bool) -> None:
    for name, _ in photos:
        checked_name(name)
    known = enrolled_people().gallery()
    model_files = ModelFiles(StateBucket(get_settings()), get_settings())
    batch = Batch(Enroller(model_files.recognizer(known)), known, strict=not force)
    refused = enrol(batch, photos, lambda: _save(batch))
    if refused == len(photos):
        raise click.ClickException(f"{counted(refused, 'photo')} refused, none enrolled")
    _save(batch)
    broadcast_gallery_change()
    now = enrolled_people().gallery()
    new = len(set(now.photos) - set(known.photos))
    there = len(photos) - refused - new
    click.echo(f"enrolled {counted(new, 'photo')}; already there: {there}, not taken: {refused}")
    added = {name for name, _ in photos} & set(now.names)
    single = [name for name in added if len(now.photos_of(name)) == 1]
    if single:
        who = f"{single[0]} has" if len(single) == 1 else f"{len(single)} people have"
        click.echo(f"hint: {who} one photo; a second, in other light, saves most misses", err=True)


def _save(batch: Batch) -> None:
    enrolled_people().add(batch.samples)
    batch.samples = {}


def _take_over(gallery: Gallery, *, replace: bool) -> None:
    known = enrolled_people().gallery()
    if len(known) and not replace:
        raise EngineMismatch(
            f"{len(known)} people are known already, by {known.engine}; "
            "their gallery and this one cannot be mixed: repeat with --replace to forget them"
        )
    enrolled_people().replace(gallery)
    faces, people = counted(len(gallery.photos), "face"), counted(len(gallery), "person", "people")
    click.echo(f"took over {faces} of {people}")
    broadcast_gallery_change()
