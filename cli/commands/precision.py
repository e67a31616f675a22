"""``facerec people precision``: embeddings in fp32 or int8, if accuracy stands."""

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from cli.gallery_switch import FORCE, switch
from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.precision import FP32, INT8
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket


@click.command()
@click.argument("wanted", type=click.Choice([FP32, INT8]))
@click.option(
    "--network",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="int8: a network made before, instead of one made from the enrolled photos.",
)
@FORCE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def precision(wanted: str, network: Path | None, force: bool, as_json: bool) -> None:
    """Compute all embeddings again, in fp32 or int8.

    int8 makes the embedder two and a half times as fast. Its network is made from the enrolled
    photos and tried on them first: when accuracy falls by more than a point, or there are too few
    photos to tell, nothing changes. Running workers follow by themselves.
    """
    state = StateBucket(get_settings())
    people, model_files = People(state), ModelFiles(state, get_settings())
    known = people.gallery()
    name = FP32 if wanted == FP32 else _made(people, model_files, known, network)
    like = Gallery.empty(known.embedder, precision=name)
    judged = name != FP32
    switch(people, model_files, like, name, judged=judged, force=force, as_json=as_json)


def _made(people: People, model_files: ModelFiles, known: Gallery, network: Path | None) -> str:
    """The precision of an int8 network, which only this machine has yet."""
    if known.engine != RESNET128.name:
        raise GalleryError(
            f"int8 is offered for {RESNET128.name} only, the gallery has {known.engine}"
        )
    if network:
        return model_files.stage(known.engine, network.read_bytes())
    from facerec_tasks.recognition.conversion import quantization  # with onnx: only this needs it

    try:
        data = quantization.quantized(get_settings().models_dir, _faces(people, model_files, known))
    except quantization.TooFewFaces as few:
        raise GalleryError(f"no int8 network can be made: {few}") from few
    return model_files.stage(known.engine, data)


def _faces(people: People, model_files: ModelFiles, known: Gallery) -> NDArray[np.uint8]:
    """Aligned faces of as many enrolled photos as an int8 network is made from."""
    from facerec_tasks.recognition.conversion import quantization

    recognizer = model_files.recognizer(Gallery.empty(known.engine))
    kept = [photo for photo in known.photos if photo]
    drawn = quantization.drawn(kept)
    return quantization.faces_of(recognizer, (people.photo(photo_id) for photo_id in drawn))
