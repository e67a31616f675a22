"""``facerec people engine``: everybody embedded anew by another network, after a look at both."""

import sys

import click

from cli.commands.precision import PrecisionRefused, as_json_of, embedder_of
from cli.enrolled import enrolled_people
from cli.friendly_errors import friendly_errors
from cli.gallery_broadcast import broadcast_gallery_change
from facerec_tasks.recognition.embedding.description import DescriptionError
from facerec_tasks.recognition.gallery import precision_check
from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.gallery.precision_check import Accuracy
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.engines import Engines
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.state_bucket import StateBucket


@click.command()
@click.argument("name")
@click.option(
    "--force",
    is_flag=True,
    help="Switch even if accuracy falls or too few photos are enrolled to tell.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def engine(name: str, force: bool, as_json: bool) -> None:
    """Use another engine: everybody is embedded again from their stored photos.

    NAME is resnet128, facenet, or what `facerec engine add` added. It is tried on the enrolled
    photos first: when accuracy falls by more than a point, or there are too few photos to tell,
    nothing changes. Running workers follow by themselves. With nobody enrolled it is used from now.
    """
    with friendly_errors(DescriptionError, GalleryError, ModelMissing, OSError):
        settings = get_settings()
        state = StateBucket(settings)
        people, model_files = enrolled_people(), ModelFiles(state, settings)
        known = people.gallery()
        described = Engines(state).get(name)
        like = Gallery.empty(described, target_fpir=settings.target_fpir)
        recognizer = model_files.recognizer(like)  # what cannot be loaded ends here
        seen: list[Accuracy] = []

        def approve(before: Gallery, after: Gallery) -> None:
            if not len(before):
                return
            seen.extend((Accuracy.of(before), Accuracy.of(calibrated(after))))
            if not as_json:
                click.echo(precision_check.table(*seen))
            against = precision_check.objection(*seen)
            if against and not force:
                raise PrecisionRefused(
                    f"not switched to {name}: {against} (--force switches all the same)"
                )

        with click.progressbar(length=len(known.photos), label=name, file=sys.stderr) as shown:
            gallery = people.recompute(like, embedder_of(recognizer, shown.update), approve)
        model_files.forget_unused()
        broadcast_gallery_change()
        click.echo(
            as_json_of(gallery, *seen) if as_json else f"{len(gallery)} people are in {name}"
        )
