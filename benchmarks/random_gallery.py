"""Galleries of random embeddings: as large as wanted, and no photo is needed."""

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.gallery.gallery import Gallery


def embeddings(seed: int, count: int, dimension: int) -> NDArray[np.float32]:
    """About of unit length, [count, dimension]."""
    chance = np.random.default_rng(seed)
    return chance.normal(0, dimension**-0.5, (count, dimension)).astype(np.float32)


def random_gallery(engine: str, person_index: NDArray[np.int32], seed: int = 0) -> Gallery:
    """Whose face each row is says ``person_index``."""
    empty, rows = Gallery.empty(engine), len(person_index)
    return Gallery(
        engine=empty.engine,
        names=tuple(f"person {n}" for n in range(person_index.max() + 1)),
        person_index=person_index,
        embeddings=embeddings(seed, rows, empty.dimension),
        photos=tuple(f"{n:032x}-{n:08x}" for n in range(rows)),
        threshold=empty.threshold,
        margin=empty.margin,
    )
