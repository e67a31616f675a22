"""The threshold of a gallery: as high as the false positive identification rate allows.

The more people are enrolled, the nearer the nearest of them is to a stranger by chance. The
threshold therefore follows from a target for the FPIR (ISO/IEC 19795-1), from how many are
enrolled, and from two kinds of evidence: the embedder's :class:`.ScoreModel`, and searches of the
gallery's own people with themselves left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.score_model import Identification, ScoreModel

DEFAULT_TARGET_FPIR = 0.01
"""At most one search in a hundred of people who are not enrolled returns somebody."""
FEWEST_PEOPLE = 100
"""A smaller gallery is treated as one of this size: who comes by there is often alike (a family, a
village), which the model does not know."""
MOST_SHIFT = 0.5
"""Standard deviations of the impostors' distances by which a gallery's own searches move the
threshold at most: a person enrolled under two names must not make everybody unknown."""
CAUTION = 0.5
"""Standard errors (of a Poisson count) added to the false matches among a gallery's own people: who
is enrolled may be less alike than those who come by."""
SECOND_PHOTO = 1.75
"""Each doubling of a person's photos adds these people's chance of a false match: measured on 40
people with four photos each, 2.8 times as many strangers within 0.54 of two photos (or their mean)
as of one, 4.3 times of four."""


def effective_people(photos_of_each: NDArray[np.integer]) -> float:
    """How many people with one photo each would be matched falsely as often."""
    counts = photos_of_each[photos_of_each > 0]
    return float(len(counts) + SECOND_PHOTO * np.log2(counts).sum())


def rates(model: ScoreModel, people: float, margin: float) -> Identification:
    """What the model expects of a gallery of that number of effective people."""
    return model.identification(max(people, FEWEST_PEOPLE), margin)


def threshold_for(model: ScoreModel, target: float, people: float, margin: float) -> float:
    """The highest threshold at which the model expects an FPIR of at most ``target``."""
    expected = rates(model, people, margin)
    return _highest(expected.thresholds, expected.fpir, target)


@dataclass(frozen=True, eq=False)
class Searches:
    """Searches of people who are not enrolled: of a gallery's own, each left out in turn."""

    scores: NDArray[np.float64]
    """:func:`.decision_score` of each."""
    weights: NDArray[np.float64]
    """Together the number of people searched for: photos of one person are not independent."""


def shift(
    model: ScoreModel, target: float, people: float, margin: float, searches: Searches
) -> float:
    """By how much the gallery's own searches move the threshold.

    They are weighed with the model's expectation, which counts as ``model.trials`` searches.
    """
    expected = rates(model, people, margin)
    trials = float(searches.weights.sum())
    if trials + model.trials == 0:
        return 0.0
    order = np.argsort(searches.scores, kind="stable")
    ranked = searches.scores[order]
    counted = np.concatenate([[0.0], np.cumsum(searches.weights[order])])
    within = counted[np.searchsorted(ranked, expected.thresholds, "right")]
    within += CAUTION * np.sqrt(within)
    fpir = (model.trials * expected.fpir + within) / (model.trials + trials)
    moved = _highest(expected.thresholds, fpir, target) - _highest(
        expected.thresholds, expected.fpir, target
    )
    most = MOST_SHIFT * model.impostor_deviation
    return round(float(np.clip(moved, -most, most)), 4)


def enrolled_twice(model: ScoreModel, people: int) -> float:
    """Two people nearer than this are one under two names: chance has less than 0.1 such pairs."""
    pairs = people * (people - 1) / 2
    if pairs < 1:
        return 0.0
    low, high = 0.0, model.impostor_mean
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if pairs * model.fmr(middle) < 0.1 else (low, middle)
    return min(low, model.genuine_mean)


def _highest(thresholds: NDArray[np.float64], fpir: NDArray[np.float64], target: float) -> float:
    """Between the steps of the table; its first step when no threshold is strict enough."""
    over = np.flatnonzero(fpir > target)
    if not len(over):
        return float(thresholds[-1])
    at = int(over[0])
    if at == 0:
        return float(thresholds[0])
    below, above = fpir[at - 1], fpir[at]
    share = (target - below) / (above - below)
    return float(thresholds[at - 1] + share * (thresholds[at] - thresholds[at - 1]))
