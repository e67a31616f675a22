"""Who a track is: its best crops vote, and their mean has a voice of its own."""

from dataclasses import dataclass

import numpy as np

from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery.gallery import Gallery, Match


@dataclass(frozen=True, eq=False)
class TrackVote:
    """What the vote came to."""

    name: str | None
    """None: nobody known."""
    confidence: float
    """The winner's share of all voices, 0 to 1."""
    embedding: Embeddings
    """[dimension], the mean."""


def vote(gallery: Gallery, embeddings: Embeddings) -> TrackVote:
    """One identity for the crops of a track [crops, dimension], the best first.

    A voice counts by how sure it is; a tie, and a winner with less than half of what was voiced,
    is nobody known.
    """
    mean = embeddings.mean(axis=0)
    matches = gallery.search(np.vstack([embeddings, mean]))
    voices: dict[str | None, float] = {None: 0.0}
    for match in matches:
        voices[match.name] = voices.get(match.name, 0.0) + _weight(match)
    total = sum(voices.values())
    name, most = max(voices.items(), key=lambda voice: (voice[1], voice[0] is None))
    if most * 2 <= total:
        name, most = None, voices[None]
    return TrackVote(name, round(most / total, 4) if total else 0.0, mean)


def _weight(match: Match) -> float:
    return match.confidence if match.confidence is not None else 1.0
