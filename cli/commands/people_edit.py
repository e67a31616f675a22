"""``facerec people``: merge, faces, undo, export, restore, migrate."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import click

from cli.enrolled import collection, enrolled_people
from cli.gallery_broadcast import broadcast_gallery_change
from facerec_tasks.recognition.gallery.exchange import exported, imported
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.collections import keys_of
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.wording import counted, counted_is


@click.command()
@click.argument("person")
@click.argument("other")
def merge(person: str, other: str) -> None:
    """Merge OTHER into PERSON, which removes OTHER. Both are ids or unique names."""
    now = enrolled_people().merge(person, other)
    broadcast_gallery_change()
    click.echo(f"{person} has {len(now.photos_of(person))} photos now")


@click.command()
@click.argument("person")
def faces(person: str) -> None:
    """List the faces of PERSON: id, and box as shares of its photo (left, top, width, height)."""
    gallery = enrolled_people().gallery()
    index = gallery.index(person)
    for row, face in enumerate(gallery.faces):
        if gallery.person_index[row] == index:
            box = " ".join(f"{number:.3f}" for number in face.box[:4]) if face.box else "-"
            click.echo(f"{face.id}\t{box}")


@click.command("remove-face")
@click.argument("ids", nargs=-1, required=True)
def remove_face(ids: Sequence[str]) -> None:
    """Remove single faces, and their photos unless another face is on them."""
    enrolled_people().remove_faces(ids)
    broadcast_gallery_change()
    click.echo(f"removed {len(ids)} faces")


@click.command("move-face")
@click.argument("id_", metavar="ID")
@click.argument("person")
def move_face(id_: str, person: str) -> None:
    """Give the face ID to PERSON, an id or a name."""
    enrolled_people().move([id_], person)
    broadcast_gallery_change()
    click.echo(f"moved to {person}")


@click.command()
def undo() -> None:
    """Undo the last change of a collection; once more redoes it. Removals cannot be undone."""
    now = enrolled_people().undo()
    broadcast_gallery_change()
    click.echo(f"{len(now)} people, {len(now.photos)} faces")


@click.command()
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
def export(target: Path) -> None:
    """Write ids, names and embeddings to TARGET (- for standard output) as lines of JSON."""
    lines = exported(enrolled_people().gallery())
    if str(target) == "-":
        for line in lines:
            click.echo(line)
        return
    with target.open("x", encoding="utf-8") as file:
        target.chmod(0o600)  # faces of people
        file.writelines(f"{line}\n" for line in lines)


@click.command("import-export")
@click.argument("source", type=click.File(encoding="utf-8"))
def import_export(source: TextIO) -> None:
    """Add the people of a file that `people export` wrote; people already enrolled are kept."""
    lines = list(source)
    people = enrolled_people()
    before = people.gallery()
    now = people.edit(lambda gallery: imported(gallery, lines))
    broadcast_gallery_change()
    added = counted(len(now.photos) - len(before.photos), "face")
    click.echo(f"added {added}, {counted_is(len(now), 'person', 'people')} known")


@click.command()
@click.option(
    "--back", is_flag=True, help="Write format 1, for a version before 0.2; ids are lost."
)
def migrate(back: bool) -> None:
    """Write a collection's gallery in the current format, as any edit does."""
    state, key = StateBucket(get_settings()), keys_of(collection()).gallery
    stored = state.find(key)
    if stored is None:
        click.echo("nobody is enrolled", err=True)
        sys.exit(1)
    gallery = enrolled_people().gallery()
    state.put(key, gallery.to_bytes(version=1 if back else 2), if_match=stored.etag)
    click.echo(f"{len(gallery)} people in format {1 if back else 2}")


COMMANDS = (merge, faces, remove_face, move_face, undo, export, import_export, migrate)
