"""How often a gallery is right: each of its photos held against all the others, and what follows.

A photo is tried twice. Once without itself, as a new photo of somebody who is enrolled: it should
be given the right name. Once without its whole person, as a photo of a stranger: it should be
given none. Both times the rule of :class:`.Gallery` decides.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.description import EmbedderDescription
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.embedding.score_model import decision_score
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
    fpir: float
    """False positive identification rate: photos of strangers that are given a name."""

    @property
    def fnir(self) -> float:
        """False negative identification rate: photos of enrolled people not given their name."""
        return 1 - self.right


@dataclass(frozen=True)
class Confusion:
    """Two people who look alike to the engine."""

    names: tuple[str, str]
    photos: tuple[str, str]
    """Ids of the photos that are nearest."""
    distance: float


def leave_one_out(gallery: Gallery, *, most: int = 2000) -> Trials:
    """Searches for each of the gallery's photos, or ``most`` of them drawn at random.

    The photo is left out when its own person is looked for, and its person for everybody else.
    """
    rows = np.arange(len(gallery.photos))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    return _tried(gallery, gallery.embeddings[rows], rows)


def search_strangers(gallery: Gallery, strangers: Embeddings) -> Trials:
    """Searches for photos [n, dimension] of people who are not in the gallery."""
    return _tried(gallery, strangers, np.full(len(strangers), -1))


def concatenated(*trials: Trials) -> Trials:
    """All, one after the other; of the same gallery."""
    columns = zip(*(vars(one).values() for one in trials), strict=True)
    return Trials(*map(np.concatenate, columns))


def rates(trials: Trials, threshold: float, margin: float) -> Rates:
    """What the rule makes of the trials."""
    enrolled = np.isfinite(trials.own)
    own, first = trials.own[enrolled], trials.first[enrolled]
    own_first = own < first
    second = np.where(own_first, first, np.minimum(own, trials.second[enrolled]))
    named = decision_score(np.minimum(own, first), second, margin) <= threshold
    return Rates(
        threshold=threshold,
        right=_share(named & own_first),
        wrong=_share(named & ~own_first),
        fpir=_share(stranger_scores(trials, margin) <= threshold),
    )


def of_some(gallery: Gallery, people: int) -> Gallery:
    """A gallery of some of the people, drawn at random, with the same rule."""
    drawn = np.random.default_rng(0).permutation(len(gallery))[:people]
    rows = np.flatnonzero(np.isin(gallery.person_index, drawn))
    return gallery.selected(rows, gallery.person_index)


def stranger_scores(trials: Trials, margin: float) -> Distances:
    """:func:`.decision_score` of every trial as a search of somebody who is not enrolled."""
    strangers = np.isfinite(trials.first)
    scores: Distances = decision_score(trials.first[strangers], trials.second[strangers], margin)
    return scores


def curve(trials: Trials, embedder: EmbedderDescription, margin: float) -> list[Rates]:
    """The rates over all thresholds worth looking at."""
    steps = np.arange(THRESHOLD_STEP, 2 * embedder.threshold, THRESHOLD_STEP)
    return [rates(trials, round(float(step), 4), margin) for step in steps]


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
    if not len(probes) or not len(gallery):
        none: Any = np.zeros(0)
        return Trials(none.astype(np.intp), none, none, none, none.astype(np.intp))
    everybody = _Everybody(gallery)
    chunks = (slice(start, start + CHUNK) for start in range(0, len(probes), CHUNK))
    return concatenated(
        *(_tried_at_once(everybody, probes[chunk], rows[chunk]) for chunk in chunks)
    )


def _tried_at_once(everybody: "_Everybody", probes: Embeddings, rows: NDArray[np.intp]) -> Trials:
    people = everybody.distances(probes, rows)  # [probes, people]
    every = np.arange(len(probes))
    own = np.full(len(probes), np.inf)
    enrolled = rows >= 0
    person_index = everybody.person_index[rows[enrolled]]
    own[enrolled] = people[every[enrolled], person_index]
    people[every[enrolled], person_index] = np.inf
    nearest = people.argmin(axis=1)
    first = people[every, nearest]
    people[every, nearest] = np.inf
    return Trials(rows, own, first, people.min(axis=1), nearest)


class _Everybody:
    """A gallery's people by their photos and, as when it is searched, the mean of these."""

    def __init__(self, gallery: Gallery) -> None:
        self.person_index = gallery.person_index
        self._order = np.argsort(gallery.person_index, kind="stable")
        self._rows = gallery.embeddings[self._order]
        self._place = np.argsort(self._order)
        self._counts = np.bincount(gallery.person_index, minlength=len(gallery))
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])
        self._sums = np.add.reduceat(self._rows.astype(np.float64), self._starts)
        self._means = (self._sums / self._counts[:, np.newaxis]).astype(np.float32)
        self._squares = _squares(self._rows), _squares(self._means)

    def distances(self, probes: Embeddings, rows: NDArray[np.intp]) -> Distances:
        """[probes, people], each photo's distance to everybody, itself left out."""
        # One column a probe: what is done to rows is done to all probes at once.
        photos = _estimates(self._rows, self._squares[0], probes)
        people = _estimates(self._means, self._squares[1], probes)
        own = _squares(probes)
        for probe in np.flatnonzero(rows >= 0):
            row, owner = rows[probe], self.person_index[rows[probe]]
            photos[self._place[row], probe] = np.inf
            rest = self._sums[owner] - self._rows[self._place[row]]
            rest = rest / max(self._counts[owner] - 1, 1) - probes[probe]
            alone = self._counts[owner] == 1
            people[owner, probe] = np.inf if alone else rest @ rest - own[probe]
        nearest = np.minimum(people, photos[self._starts])
        for nth in range(1, self._counts.max()):  # the nth photo of everybody; reduceat takes 5x
            more = np.flatnonzero(self._counts > nth)
            nearest[more] = np.minimum(nearest[more], photos[self._starts[more] + nth])
        nearest += own
        distances: Distances = np.sqrt(np.maximum(nearest, 0, out=nearest)).T.astype(np.float64)
        return distances


def _estimates(rows: Embeddings, squares: Embeddings, probes: Embeddings) -> Embeddings:
    """[rows, probes], squared distances less the probes' own squares: exact enough for rates, since
    nobody is tried against themselves."""
    squared: Embeddings = rows @ probes.T
    squared *= -2
    squared += squares[:, np.newaxis]
    return squared


def _squares(rows: Embeddings) -> Embeddings:
    squares: Embeddings = np.einsum("ij,ij->i", rows, rows)
    return squares


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else float("nan")
