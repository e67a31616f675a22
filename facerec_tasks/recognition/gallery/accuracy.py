"""How often a gallery is right: each of its photos held against all the others, and what follows.

A photo is tried twice. Once without itself, as a new photo of somebody who is enrolled: it should
be given the right name. Once without its whole person, as a photo of a stranger: it should be
given none. Both times the rule of :class:`.Gallery` decides.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.metrics import EMBEDDER_TRAITS, Embeddings, lead_needed
from facerec_tasks.recognition.gallery.gallery import Gallery

Distances = NDArray[np.float64]

THRESHOLD_STEP = 0.005
CHUNK = 64
"""Photos tried at once: bounds memory."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Distances of each tried photo, arrays of one length. Infinity: there is no such person."""

    rows: NDArray[np.intp]
    """Which row of the gallery; -1 for a photo of a stranger given besides."""
    own: Distances
    """To its own person without this photo; infinity when that was the only one."""
    first: Distances
    """To the nearest other person."""
    second: Distances
    """To the second nearest other person."""
    nearest: NDArray[np.intp]
    """Who the nearest other person is: an index into the gallery's names."""


@dataclass(frozen=True)
class Rates:
    """Shares at one threshold. A share of nothing is not a number."""

    threshold: float
    right: float
    """Of the photos of enrolled people: given the right name."""
    wrong: float
    """Of the photos of enrolled people: given somebody else's."""
    false_names: float
    """Of the photos of strangers: given a name."""

    @property
    def missed(self) -> float:
        """Of the photos of enrolled people: not given the right name."""
        return 1 - self.right


@dataclass(frozen=True)
class Confusion:
    """Two people who look alike to the engine."""

    names: tuple[str, str]
    photos: tuple[str, str]
    """Ids of the photos that are nearest."""
    distance: float


def hold_against_each_other(gallery: Gallery, *, most: int = 2000, seed: int = 0) -> Trials:
    """Tries the gallery's photos, or ``most`` of them drawn at random."""
    rows = np.arange(len(gallery.photos))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return _tried(gallery, gallery.embeddings[rows], rows)


def hold_against(gallery: Gallery, strangers: Embeddings) -> Trials:
    """Tries photos [n, dimension] of people who are not in the gallery."""
    return _tried(gallery, strangers, np.full(len(strangers), -1))


def joined(one: Trials, other: Trials) -> Trials:
    """Both, one after the other; of the same gallery."""
    return Trials(
        *(
            np.concatenate([getattr(one, name), getattr(other, name)])
            for name in Trials.__dataclass_fields__
        )
    )


def rates(trials: Trials, threshold: float, margin: float) -> Rates:
    """What the rule makes of the trials."""
    enrolled = np.isfinite(trials.own)
    own, first = trials.own[enrolled], trials.first[enrolled]
    own_first = own < first
    second = np.where(own_first, first, np.minimum(own, trials.second[enrolled]))
    named = _is_named(np.minimum(own, first), second, threshold, margin)
    strangers = np.isfinite(trials.first)
    return Rates(
        threshold=threshold,
        right=_share(named & own_first),
        wrong=_share(named & ~own_first),
        false_names=_share(
            _is_named(trials.first[strangers], trials.second[strangers], threshold, margin)
        ),
    )


def curve(trials: Trials, engine: str, margin: float) -> list[Rates]:
    """The rates over all thresholds worth looking at."""
    farthest = 2 * EMBEDDER_TRAITS[engine].threshold
    steps = np.arange(THRESHOLD_STEP, farthest, THRESHOLD_STEP)
    return [rates(trials, round(float(step), 4), margin) for step in steps]


def proposal(measured: list[Rates], engine: str, most_false: float) -> Rates | None:
    """The fewest missed among the thresholds that name at most that share of strangers.

    Of several as good the one nearest to the engine's own: few photos must not move it far. None
    when there are no strangers to measure with.
    """
    allowed = [rate for rate in measured if rate.false_names <= most_false]
    if not allowed:
        return None

    def preference(rate: Rates) -> tuple[float, float]:
        missed = 0.0 if np.isnan(rate.right) else rate.missed
        return missed, abs(rate.threshold - EMBEDDER_TRAITS[engine].threshold)

    return min(allowed, key=preference)


def confusions(gallery: Gallery, trials: Trials, most: int = 10) -> list[Confusion]:
    """The pairs of people who are nearest to each other, nearest first, each pair once."""
    found: dict[frozenset[str], Confusion] = {}
    for trial in np.argsort(trials.first, kind="stable"):
        row, other = int(trials.rows[trial]), gallery.names[trials.nearest[trial]]
        if row < 0 or not np.isfinite(trials.first[trial]):
            continue
        name = gallery.names[gallery.person_index[row]]
        theirs = np.flatnonzero(gallery.person_index == trials.nearest[trial])
        gaps = np.linalg.norm(gallery.embeddings[theirs] - gallery.embeddings[row], axis=1)
        confusion = Confusion(
            (name, other),
            (gallery.photos[row], gallery.photos[theirs[gaps.argmin()]]),
            float(trials.first[trial]),
        )
        found.setdefault(frozenset(confusion.names), confusion)
        if len(found) == most:
            break
    return list(found.values())


def _tried(gallery: Gallery, probes: Embeddings, rows: NDArray[np.intp]) -> Trials:
    chunks = [
        _tried_at_once(gallery, probes[start : start + CHUNK], rows[start : start + CHUNK])
        for start in range(0, len(probes), CHUNK)
    ]
    if not chunks:
        none: Any = np.zeros(0)
        return Trials(none.astype(np.intp), none, none, none, none.astype(np.intp))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = joined(whole, chunk)
    return whole


def _tried_at_once(gallery: Gallery, probes: Embeddings, rows: NDArray[np.intp]) -> Trials:
    people = _to_people(gallery, probes, rows)  # [probes, people]
    every = np.arange(len(probes))
    own = np.full(len(probes), np.inf)
    enrolled = rows >= 0
    person_index = gallery.person_index[rows[enrolled]]
    own[enrolled] = people[every[enrolled], person_index]
    people[every[enrolled], person_index] = np.inf
    nearest = people.argmin(axis=1)
    first = people[every, nearest]
    people[every, nearest] = np.inf
    return Trials(rows, own, first, people.min(axis=1), nearest)


def _to_people(gallery: Gallery, probes: Embeddings, rows: NDArray[np.intp]) -> Distances:
    """[probes, people], each photo's distance to everybody, itself left out.

    As in a gallery with a threshold, the mean of a person's photos counts as one more.
    """
    photos = _distances(probes, gallery.embeddings)
    counts = np.bincount(gallery.person_index, minlength=len(gallery))
    sums = np.zeros((len(gallery), gallery.dimension))
    np.add.at(sums, gallery.person_index, gallery.embeddings)
    means = _distances(probes, sums / counts[:, np.newaxis])
    for probe in np.flatnonzero(rows >= 0):
        row, owner = rows[probe], gallery.person_index[rows[probe]]
        photos[probe, row] = np.inf
        rest = (sums[owner] - gallery.embeddings[row]) / max(counts[owner] - 1, 1)
        alone = counts[owner] == 1
        means[probe, owner] = np.inf if alone else np.linalg.norm(rest - probes[probe])
    for mean, photo in zip(means, photos, strict=True):
        np.minimum.at(mean, gallery.person_index, photo)
    return means


def _distances(probes: NDArray[Any], rows: NDArray[Any]) -> Distances:
    """[probes, rows]; exact enough for rates, since nobody is tried against themselves."""
    squared = (
        np.einsum("ij,ij->i", probes, probes)[:, np.newaxis]
        + np.einsum("ij,ij->i", rows, rows)
        - 2 * (probes @ rows.T)
    )
    distances: Distances = np.sqrt(np.maximum(squared, 0)).astype(np.float64)
    return distances


def _is_named(
    distance: Distances, runner_up: Distances, threshold: float, margin: float
) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):  # infinity less infinity, which is not named anyway
        lead = runner_up - distance
    named: NDArray[np.bool_] = (distance <= threshold) & (
        lead >= lead_needed(distance, threshold, margin)
    )
    return named


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else float("nan")
