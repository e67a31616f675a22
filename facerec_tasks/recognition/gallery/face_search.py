"""The nearest enrolled faces, each for itself: what verification and protocols of faces ask."""

import math
from dataclasses import dataclass

import numpy as np

from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.records import FaceRecord

MOST_FACES = 4096
"""Faces one search returns."""


@dataclass(frozen=True)
class FaceMatch:
    """One enrolled face and how like it is."""

    face: FaceRecord
    person_id: str
    name: str
    distance: float
    similarity: float
    """See :attr:`.Candidate.similarity`."""


def nearest_faces(
    gallery: Gallery, probe: Embeddings, limit: int, least_similarity: float = 0.0
) -> list[FaceMatch]:
    """The faces nearest to a probe [dimension], nearest first, those less alike left out."""
    if not len(gallery.photos) or limit < 1:
        return []
    squared = gallery.blocks[0].estimate(np.ascontiguousarray(probe, np.float32))
    count = min(limit, MOST_FACES, len(squared))
    rows = np.argpartition(squared, count - 1)[:count]
    distances = np.linalg.norm(gallery.embeddings[rows].astype(np.float64) - probe, axis=1)
    found = []
    for at in np.argsort(distances, kind="stable").tolist():
        alike = similarity(gallery, float(distances[at]))
        if alike < least_similarity:
            break
        found.append(_match(gallery, int(rows[at]), float(distances[at]), alike))
    return found


def similarity(gallery: Gallery, distance: float) -> float:
    """0 to 100, of two faces so far apart, by the gallery's embedder."""
    ratio = float(gallery.embedder.scores.likelihood_ratio(np.array([distance]))[0])
    return round(100 / (1 + math.exp(-max(-50.0, min(50.0, ratio)))), 2)


def _match(gallery: Gallery, row: int, distance: float, alike: float) -> FaceMatch:
    owner = int(gallery.person_index[row])
    return FaceMatch(gallery.faces[row], gallery.ids[owner], gallery.names[owner], distance, alike)
