"""How far apart two faces are to an embedder: one person's, two people's, and what follows of both.

A search of a gallery of N people returns the nearest person if that one's *score* is at most the
threshold. The score is the distance, plus what the runner-up's lead lacks of the margin
(:func:`decision_score`). Terms are those of ISO/IEC 19795-1:

* FMR, false match rate: share of pairs of two people within a distance;
* FPIR, false positive identification rate: share of searches of people who are not enrolled that
  return somebody;
* FNIR, false negative identification rate: share of searches of enrolled people that do not return
  them.

Distances of two people are taken as normally distributed, of one person too. Searches are not
alike: some faces have many neighbors, most have few. Each search therefore multiplies the density
of impostors by a factor of its own, gamma-distributed with mean 1 and variance ``dispersion``; the
number of people within a distance is then negative-binomial, and the two rates are single integrals
(such a factor is a *frailty*: Vaupel, Manton and Stallard, Demography 16, 1979). Where the numbers
of an embedder come from: docs/decisions/threshold.md.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 400
"""Points of the tables over distance and over threshold."""
LEAST_LEAD = 5
"""The lead never falls below this fraction of the margin: margin / 5."""


def lead_needed(distance: Any, threshold: float, margin: float) -> Any:
    """How much farther than ``distance`` the runner-up must be; also of arrays.

    By ``margin`` at the threshold; the nearer the face, the less, down to a fifth.
    """
    return np.maximum(margin / LEAST_LEAD, margin - (threshold - distance))


def decision_score(first: Any, second: Any, margin: float) -> Any:
    """The lowest threshold at which the nearest person is returned; also of arrays.

    ``first`` and ``second`` are the distances to the nearest two people, infinity where there is no
    such person. Infinity when they are too near to each other for any threshold.
    """
    with np.errstate(invalid="ignore"):
        gap = np.where(np.isinf(first), 0.0, second - first)
    score = first + np.maximum(0.0, margin - gap)
    return np.where(gap >= margin / LEAST_LEAD, score, np.inf)


@dataclass(frozen=True)
class ScoreModel:
    """Distances of an embedder. Raises :class:`ValueError` for what cannot be one."""

    impostor_mean: float
    """Mean distance of two people."""
    impostor_deviation: float
    """Its standard deviation."""
    genuine_mean: float
    """Mean distance of two photos of one person."""
    genuine_deviation: float
    """Its standard deviation."""
    dispersion: float
    """Variance of the factor by which searches differ, see the module."""
    trials: int
    """How many searches of a gallery's own this model outweighs; 0: none."""

    def __post_init__(self) -> None:
        positive = (self.impostor_deviation, self.genuine_deviation, self.dispersion)
        if not all(math.isfinite(x) and x > 0 for x in positive):
            raise ValueError("deviations and dispersion are positive numbers")
        if not 0 <= self.genuine_mean < self.impostor_mean < 1e6:
            raise ValueError("one person's photos must be nearer than two people's")
        if self.trials < 0:
            raise ValueError("a model cannot outweigh fewer than 0 searches")

    def fmr(self, distance: float) -> float:
        """Share of pairs of two people within that distance."""
        return _normal_cdf((distance - self.impostor_mean) / self.impostor_deviation)

    def likelihood_ratio(self, distances: Array) -> Array:
        """How much likelier each distance is of one person than of two, as a logarithm.

        Falls with distance: beyond the impostors' mean it stays what it is there.
        """
        near = np.clip(distances, self.genuine_mean, self.impostor_mean)
        genuine = (near - self.genuine_mean) / self.genuine_deviation
        impostor = (near - self.impostor_mean) / self.impostor_deviation
        found: Array = (impostor**2 - genuine**2) / 2
        return found

    def identification(self, people: float, margin: float) -> "Identification":
        """FPIR and FNIR of a gallery of ``people`` over the threshold; computed once."""
        return _identification(self, max(1.0, round_to_two_digits(people)), margin)


@dataclass(frozen=True, eq=False)
class Identification:
    """Error rates over the threshold: arrays of one length, rising thresholds."""

    thresholds: Array
    fpir: Array
    right: Array
    """Share of searches of enrolled people that return them: 1 - FNIR."""
    enrolled: Array
    """Probability that somebody enrolled was searched for, by the score of the search, when half of
    all searches are of enrolled people."""

    def fpir_at(self, threshold: float) -> float:
        return float(np.interp(threshold, self.thresholds, self.fpir))

    def fnir_at(self, threshold: float) -> float:
        return 1 - float(np.interp(threshold, self.thresholds, self.right))

    def enrolled_at(self, score: float) -> float:
        return float(np.interp(score, self.thresholds, self.enrolled))


def round_to_two_digits(people: float) -> float:
    """So that tables are shared by galleries of about one size."""
    if people < 10:
        return people
    digits = 10.0 ** (math.floor(math.log10(people)) - 1)
    return round(people / digits) * digits


@lru_cache(maxsize=64)
def _identification(model: ScoreModel, people: float, margin: float) -> Identification:
    low = max(0.0, model.genuine_mean - 5 * model.genuine_deviation)
    edges = np.linspace(low, model.impostor_mean, STEPS + 1)
    thresholds = edges[1:]
    distances = (edges[1:] + edges[:-1]) / 2
    needed = np.array([lead_needed(distances, t, margin) for t in thresholds])  # [t, distances]
    others = (people - 1) * _impostors_within(model, distances + needed)
    reached = distances <= thresholds[:, np.newaxis]
    v = model.dispersion
    alone = np.where(reached, (1 + v * others) ** (-1 / v), 0.0)
    impostors = people * np.diff(_impostors_within(model, edges))
    genuine = np.diff(_genuine_within(model, edges))
    fpir = (alone / (1 + v * others)) @ impostors
    right = alone @ genuine
    return Identification(thresholds, fpir, right, _enrolled(model, thresholds, fpir, right))


def _enrolled(model: ScoreModel, scores: Array, fpir: Array, right: Array) -> Array:
    """By Bayes' rule from the densities of the score, see :attr:`Identification.enrolled`."""
    nobody = np.gradient(np.maximum.accumulate(fpir), scores)
    nearest = np.gradient(np.maximum.accumulate(right), scores)
    farther = nobody * (1 - _genuine_within(model, scores))  # enrolled, but an impostor is nearer
    known = nearest + farther
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(known + nobody > 0, known / (known + nobody), np.nan)
    first = int(np.argmax(np.isfinite(share)))
    share[:first] = share[first]
    last = np.flatnonzero(np.isfinite(share))[-1]
    share[last:] = share[last]
    falling: Array = np.minimum.accumulate(np.clip(share, 0.0, 1.0))
    return falling


def _impostors_within(model: ScoreModel, distances: Array) -> Array:
    return _normal_cdfs((distances - model.impostor_mean) / model.impostor_deviation)


def _genuine_within(model: ScoreModel, distances: Array) -> Array:
    return _normal_cdfs((distances - model.genuine_mean) / model.genuine_deviation)


def _normal_cdf(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


_Z = np.linspace(-12, 12, 4801)
_LOG_CDF = np.log([_normal_cdf(z) for z in _Z])


def _normal_cdfs(z: Array) -> Array:
    """Interpolated in the logarithm, within 1e-5 of the value itself: NumPy has no ``erf``."""
    found: Array = np.exp(np.interp(z, _Z, _LOG_CDF))
    return found
