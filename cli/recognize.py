"""``facerec recognize``: the engine alone, on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.enrolment import enrolled
from cli.failures import told_plainly
from facerec_tasks.recognition.checkpoint import CheckpointError
from facerec_tasks.recognition.data_pt import read_gallery
from facerec_tasks.recognition.gallery import Gallery, GalleryError
from facerec_tasks.recognition.image import Rejected
from facerec_tasks.recognition.photo_folder import NotAFolder, photos_of
from facerec_tasks.recognition.recognizer import Recognition, Recognizer
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from local import samples


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--gallery",
    "source",
    type=click.Path(exists=True, path_type=Path),
    help="A folder of NAME/*.jpg, a data.pt, or a gallery's file; two sample people otherwise.",
)
@click.option("--threshold", type=click.FloatRange(min=0), help="Name nobody farther than this.")
@click.option("--json", "as_json", is_flag=True, help="Every face, as one JSON array.")
def recognize(
    photos: tuple[Path, ...], source: Path | None, threshold: float | None, as_json: bool
) -> None:
    """Who is on these photos. Uses no AWS.

    Prints a line a photo as the service answers it: the file's name without extension, a colon, the
    name of the largest face. Ends with status 1 when a photo was refused.
    """
    with told_plainly(GalleryError, CheckpointError, ModelMissing, NotAFolder):
        gallery = _gallery(source)
        if threshold is not None:
            gallery = gallery.with_threshold(threshold)
        recognizer = Recognizer.load(get_settings().models_dir, gallery)
    answers = [_answer(recognizer, photo) for photo in photos]
    if as_json:
        click.echo(json.dumps(answers, ensure_ascii=False, indent=2))
    else:
        for answer in answers:
            _show(answer)
    if any("error" in answer for answer in answers):
        raise SystemExit(1)


def _gallery(source: Path | None) -> Gallery:
    models_dir = get_settings().models_dir
    if source is None:
        return enrolled([(p.name, p.path) for p in samples.portraits()], models_dir)
    if source.is_dir():
        return enrolled(photos_of(source), models_dir)
    if source.suffix == ".pt":
        return read_gallery(source.read_bytes())
    return Gallery.open(source)


def _answer(recognizer: Recognizer, photo: Path) -> dict[str, Any]:
    try:
        found = recognizer.recognize(photo.read_bytes())
    except OSError as error:
        return {"photo": str(photo), "error": "unreadable", "message": error.strerror}
    except Rejected as rejection:
        return {"photo": str(photo), "error": rejection.code, "message": rejection.message}
    return {"photo": str(photo), "answer": _text(found), **asdict(found)}


def _text(found: Recognition) -> str:
    if not found.faces:
        return "no-face"
    return found.faces[0].name or "unknown"


def _show(answer: dict[str, Any]) -> None:
    if "error" in answer:
        click.echo(f"{answer['photo']}: {answer['message']} ({answer['error']})", err=True)
    else:
        click.echo(f"{Path(answer['photo']).stem}:{answer['answer']}")
