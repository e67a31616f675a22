"""The gallery's own people as strangers to each other: what its threshold learns from them."""

from dataclasses import replace

import numpy as np

from facerec_tasks.recognition.embedding.score_model import decision_score
from facerec_tasks.recognition.gallery import accuracy, operating_point
from facerec_tasks.recognition.gallery.gallery import Gallery

MOST_SEARCHES = 1000
"""Photos searched for, drawn at random: bounds the time an edit takes."""


def calibrated(gallery: Gallery) -> Gallery:
    """The gallery with its threshold where the target FPIR has it; unchanged without a target."""
    target = gallery.target_fpir
    if target is None:
        return gallery
    moved = operating_point.shift(
        gallery.embedder.scores,
        target,
        gallery.effective_people,
        gallery.margin,
        own_searches(gallery),
    )
    return replace(gallery, impostor_shift=moved, searched=gallery.blocks).at_target()


def own_searches(gallery: Gallery) -> operating_point.Searches:
    """Everybody searched for with themselves left out.

    Without pairs of people so near to each other that they are one person under two names.
    """
    trials = accuracy.leave_one_out(gallery, most=MOST_SEARCHES)
    same = operating_point.enrolled_twice(gallery.embedder.scores, len(gallery))
    kept = np.isfinite(trials.first) & (trials.first > same)
    person_index = gallery.person_index[trials.rows[kept]]
    photos = np.bincount(person_index, minlength=len(gallery))
    scores = decision_score(trials.first[kept], trials.second[kept], gallery.margin)
    return operating_point.Searches(scores, 1 / np.maximum(photos[person_index], 1))
