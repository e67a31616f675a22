"""``facerec people engine``: embed all people again by another network, if accuracy stands."""

import click

from cli.enrolled import enrolled_people
from cli.gallery_switch import FORCE, switch
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.engines import Engines
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.state_bucket import StateBucket


@click.command()
@click.argument("name")
@FORCE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def engine(name: str, force: bool, as_json: bool) -> None:
    """Switch to another engine: embed all people again from their stored photos.

    NAME is resnet128, facenet, or what `facerec engine add` added. It is tried on the enrolled
    photos first: when accuracy falls by more than a point, or there are too few photos to tell,
    nothing changes. Running workers follow by themselves. An empty gallery
    switches at once.
    """
    settings = get_settings()
    state = StateBucket(settings)
    people = enrolled_people()
    judged = len(people.gallery()) > 0
    like = Gallery.empty(Engines(state).get(name), target_fpir=settings.target_fpir)
    model_files = ModelFiles(state, settings)
    switch(people, model_files, like, name, judged=judged, force=force, as_json=as_json)
