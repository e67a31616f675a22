"""``facerec recognize``: the engine alone, on this machine, for photos and videos."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.enrollment import enrolled, photos_to_enrol
from cli.friendly_errors import friendly_errors
from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.gallery.data_pt import read_gallery
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder
from facerec_tasks.recognition.images.sniff import sniff
from facerec_tasks.recognition.recognizer import Recognition, Recognizer
from facerec_tasks.recognition.rejection import Rejected
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from facerec_tasks.video import container
from facerec_tasks.video.analysis import analyze_video
from facerec_tasks.video.container import NEEDED
from local.samples import portraits


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--gallery",
    "source",
    type=click.Path(exists=True, path_type=Path),
    help="A folder of NAME/*.jpg, a data.pt, or a gallery's file; two sample people otherwise.",
)
@click.option(
    "--threshold", type=click.FloatRange(min=0), help="Largest distance at which a face is named."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON array: all faces of a photo, all people of a video with their times.",
)
def recognize(
    photos: tuple[Path, ...], source: Path | None, threshold: float | None, as_json: bool
) -> None:
    """Recognize the people on photos or in videos, on this machine, without AWS.

    Prints the service's answer, one line for each file: the file name without extension, a colon,
    and the name of the largest face or, of a video, of the person seen longest. Exits with 1 when a
    file was rejected.
    """
    with friendly_errors(GalleryError, CheckpointError, ModelMissing, NotAFolder):
        gallery = _gallery(source)
        if threshold is not None:
            gallery = gallery.with_threshold(threshold)
        settings = get_settings()
        recognizer = Recognizer.load(settings.models_dir, gallery, settings.min_face_score)
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
        return enrolled([(p.name, p.path) for p in portraits.portraits()], models_dir)
    if source.is_dir():
        return enrolled(photos_to_enrol(source), models_dir)
    if source.suffix == ".pt":
        return read_gallery(source.read_bytes())
    return Gallery.open(source)


def _answer(recognizer: Recognizer, photo: Path) -> dict[str, Any]:
    try:
        if _is_video(photo):
            return _watched(recognizer, photo)
        found = recognizer.recognize(photo.read_bytes())
    except OSError as error:
        return {"photo": str(photo), "error": "unreadable", "message": error.strerror}
    except Rejected as refused:
        return {"photo": str(photo), "error": refused.code, "message": refused.message}
    return {"photo": str(photo), "answer": _text(found), **asdict(found)}


def _is_video(path: Path) -> bool:
    """A GIF is a photo here, as it is for the service."""
    with path.open("rb") as file:
        head = file.read(NEEDED)
    return container.sniff(head) is not None and sniff(head) is None


def _watched(recognizer: Recognizer, video: Path) -> dict[str, Any]:
    analysis = analyze_video(video, recognizer)
    assert analysis is not None  # nobody told it to stop
    names = [person.name if person.known else "unknown" for person in analysis.people]
    return {
        "photo": str(video),
        "answer": names[0] if names else "no-face",
        "people": [person.to_dict() for person in analysis.people],
        "complete": analysis.end.complete,
        **asdict(analysis.metadata),
    }


def _text(found: Recognition) -> str:
    if not found.faces:
        return "no-face"
    return found.faces[0].name or "unknown"


def _show(answer: dict[str, Any]) -> None:
    if "error" in answer:
        click.echo(f"{answer['photo']}: {answer['message']} ({answer['error']})", err=True)
    else:
        click.echo(f"{Path(answer['photo']).stem}:{answer['answer']}")
