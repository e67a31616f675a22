"""Whether a gallery is as good in another precision: measured on its own people before it changes.

Every photo is tried against all others as :mod:`accuracy` does it, before and after, by the
gallery's own rule.
"""

import math
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from facerec_tasks.recognition.gallery import accuracy
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.grouping import distances

MOST_LOST = 0.01
"""Of any share below: what another precision may cost."""
FEWEST = 100
"""Photos of people who have several: with fewer, one photo is more than :data:`MOST_LOST`."""
MOST_PHOTOS = 2000
"""Photos of which all pairs are verified: bounds memory."""


@dataclass(frozen=True)
class Accuracy:
    """Shares; not a number where there is nothing to measure."""

    verification: float
    """Mean of the pairs of one person within the threshold and of those of two people beyond it."""
    right: float
    """Photos of enrolled people that are given the right name."""
    wrong: float
    """Photos of enrolled people that are given somebody else's."""
    fpir: float
    """Photos of strangers that are given a name."""
    trials: int
    """Photos of people who have several, behind ``right`` and ``wrong``."""

    @classmethod
    def of(cls, gallery: Gallery) -> Self:
        """Of a gallery's photos, each held against all others."""
        threshold = gallery.verification_threshold
        trials = accuracy.leave_one_out(gallery)
        rates = accuracy.rates(trials, threshold, gallery.margin)
        return cls(
            verification=_verification(gallery, threshold),
            right=rates.right,
            wrong=rates.wrong,
            fpir=rates.fpir,
            trials=int(np.isfinite(trials.own).sum()),
        )


def objection(before: Accuracy, after: Accuracy) -> str | None:
    """Why the other precision should not be used; none when it is as good."""
    if before.trials < FEWEST:
        return (
            f"{before.trials} photos of people who have several are too few to judge by: "
            f"{FEWEST} are needed"
        )
    losses = {
        "verification": before.verification - after.verification,
        "photos given the right name": before.right - after.right,
        "photos given a wrong name": after.wrong - before.wrong,
        "strangers given a name": after.fpir - before.fpir,
    }
    for share, loss in losses.items():
        if not loss <= MOST_LOST:  # nor when it cannot be measured
            return f"{share}: worse by {100 * loss:.1f} points, {100 * MOST_LOST:.0f} allowed"
    return None


def table(before: Accuracy, after: Accuracy) -> str:
    """Both, for people to read."""
    titles = {
        "verification": "pairs verified right",
        "right": "given the right name",
        "wrong": "given a wrong name",
        "fpir": "strangers given a name",
    }
    lines = [f"{'':24}{'before':>9}{'after':>9}"]
    for field in fields(Accuracy):
        if title := titles.get(field.name):
            shares = (getattr(accuracy, field.name) for accuracy in (before, after))
            lines.append(f"{title:24}" + "".join(f"{_percent(share):>9}" for share in shares))
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f} %"


def _verification(gallery: Gallery, threshold: float) -> float:
    rows = np.arange(len(gallery.photos))
    if len(rows) > MOST_PHOTOS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_PHOTOS, replace=False))
    one, other = np.triu_indices(len(rows), 1)
    person_index = gallery.person_index[rows]
    within = distances(gallery.embeddings[rows])[one, other] <= threshold
    same = person_index[one] == person_index[other]
    if not same.any() or same.all():
        return math.nan
    return float((within[same].mean() + (~within[~same]).mean()) / 2)
