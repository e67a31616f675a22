"""Embeddings: which of many is nearest, and how they are written as text."""

import base64
import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from facerec_tasks.recognition.gallery.header import GalleryError

Embeddings = NDArray[np.float32]
"""One face a row: [faces, dimension]."""


class Block:
    """Embeddings that are searched together: [rows, dimension], and whose each one is."""

    def __init__(
        self, rows: Embeddings, person_index: NDArray[np.int32], squares: Embeddings | None = None
    ) -> None:
        """``squares``: of the rows' lengths, if they were computed before."""
        self.rows, self.person_index = rows, person_index
        if squares is None:
            with np.errstate(over="ignore"):  # what overflows is refused in the next line
                squares = np.einsum("ij,ij->i", rows, rows)
            if not np.isfinite(squares).all():
                raise GalleryError("an embedding is not finite")
        self.squares = squares

    def estimate(self, probe: Embeddings) -> Embeddings:
        """[rows], squared distances less the probe's own square: one pass over memory."""
        squared: Embeddings = self.rows @ probe
        squared *= -2
        squared += self.squares
        return squared

    def nearest(self, estimate: Embeddings, probe: Embeddings) -> tuple[int, float]:
        """Whose the nearest row is, and its exact distance; infinity when there is no row left."""
        least = float(estimate.min())
        if least == math.inf:
            return 0, math.inf
        # float32 rounds the estimate in its sixth digit: whatever is that near is looked at exactly
        rows = np.flatnonzero(estimate <= least + 1e-5 * (1 + float(probe @ probe) + abs(least)))
        exact = np.linalg.norm(self.rows[rows].astype(np.float64) - probe, axis=1)
        best = int(exact.argmin())
        return int(self.person_index[rows[best]]), float(exact[best])


def encoded(embedding: Embeddings, kind: str = "<f4") -> str:
    """Base64 of the numbers, little-endian float32 or of another ``kind``, as NumPy names it."""
    return base64.b64encode(embedding.astype(kind).tobytes()).decode()


def decoded(text: Any, kind: str = "<f4") -> Embeddings:
    """Inverse of :func:`encoded`, flat; raises :class:`ValueError`."""
    if not isinstance(text, str):
        raise ValueError("numbers are written as text")
    return np.frombuffer(base64.b64decode(text), kind).astype(np.float32)


EncodedEmbedding = Annotated[Embeddings, PlainValidator(decoded), PlainSerializer(encoded)]
"""Of one face, as text in JSON."""


def means_of(photos: Block) -> Block | None:
    """The mean embedding of everybody who has several; none when nobody has."""
    order = np.argsort(photos.person_index, kind="stable")
    person_index, begins, counts = np.unique(
        photos.person_index[order], return_index=True, return_counts=True
    )
    several = counts > 1
    if not several.any():
        return None
    person_index, begins, counts = person_index[several], begins[several], counts[several]
    sums = photos.rows[order[begins]]
    for nth in range(1, counts.max()):  # the nth photo of everybody at once: add.at takes 50 times
        more = np.flatnonzero(counts > nth)
        sums[more] += photos.rows[order[begins[more] + nth]]
    sums /= counts[:, np.newaxis]
    return Block(sums, person_index)
