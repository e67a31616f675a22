"""A gallery for FaceNet: ``torch.save([[1x512 tensor, ...], [name, ...]], "data.pt")``.

The file comes from outside, so it is read by :mod:`.checkpoint`, which
executes nothing, and every number of it is looked at before anything is copied.
"""

from typing import Any

import numpy as np

from facerec_tasks.recognition.conversion.checkpoint import read_torch
from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.embedding.description import FACENET
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.person_name import checked_name

ENGINE = FACENET.name
MAX_FACES = 100_000
"""200 MB of embeddings. Tensors may share their storage, so the file's own size bounds nothing."""


def read_gallery(data: bytes, threshold: float | None = None) -> Gallery:
    """The people of a ``data.pt``, in its order; a name that comes twice is one person.

    Without a threshold the nearest name is given however far it is, as the reference does. Raises
    :class:`CheckpointError`, and
    :class:`.GalleryError` for names that cannot be answers.
    """
    tensors, names = _lists(read_torch(data))
    rows = [_row(tensor, index) for index, tensor in enumerate(tensors)]
    spelled = [_name(name, index) for index, name in enumerate(names)]
    people = tuple(dict.fromkeys(spelled))
    index_of = {name: index for index, name in enumerate(people)}
    return Gallery(
        engine=ENGINE,
        names=people,
        person_index=np.array([index_of[name] for name in spelled], np.int32),
        embeddings=np.stack(rows).astype(np.float32, copy=False),
        photos=("",) * len(rows),
        threshold=threshold,
        margin=FACENET.margin,
    )


def _lists(loaded: Any) -> tuple[list[Any], list[Any]]:
    match loaded:
        case [list(tensors), list(names)] if 0 < len(tensors) == len(names) <= MAX_FACES:
            return tensors, names
        case [list(tensors), list(names)]:
            raise CheckpointError(
                f"not a gallery: {len(tensors)} embeddings and {len(names)} names "
                f"(as many of each, at most {MAX_FACES})"
            )
    raise CheckpointError("not a gallery: a list of embeddings and a list of names are expected")


def _row(tensor: Any, index: int) -> Embeddings:
    """[512]"""
    dimension = FACENET.dimension
    if not isinstance(tensor, np.ndarray) or tensor.shape not in ((1, dimension), (dimension,)):
        raise CheckpointError(f"not a gallery: embedding {index} is no tensor of 1x{dimension}")
    if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
        raise CheckpointError(f"not a gallery: embedding {index} is not made of finite numbers")
    return tensor.reshape(dimension)


def _name(name: Any, index: int) -> str:
    if not isinstance(name, str):
        raise CheckpointError(f"not a gallery: name {index} is no text")
    return checked_name(name)
