"""A gallery of a given size, probes of everybody who has photos left, and strangers."""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.embedding.score_model import decision_score
from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.gallery import Gallery, Match

CONFIDENCES = (0.0, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0)
"""Edges of the bins in which what the answers say is compared with what holds."""

MOST_PROBES = 3
"""Photos a person is searched for with: one who has hundreds must not outweigh the others."""

People = Mapping[str, Sequence[Path]]
Faces = Mapping[Path, Embeddings | None]
"""The embedding [dimension] of each photo; None where no face was found."""


@dataclass(frozen=True)
class Plan:
    """Which photos are enrolled and which are searched for."""

    enrolled: Mapping[str, Sequence[Path]]
    probes: Sequence[tuple[str, Path]]
    """Further photos of some of the enrolled people, with their names."""
    strangers: Sequence[Path]


@dataclass(frozen=True)
class Bin:
    """Answers that say about the same."""

    low: float
    high: float
    answers: int
    says: float
    """Mean of the confidences."""
    holds: float
    """Share of the answers that are true."""


@dataclass(frozen=True, eq=False)
class IdentificationRun:
    """Shares are of all probes or strangers, those without a face included."""

    people: int
    photos: int
    """Enrolled of each person."""
    probes: int
    strangers: int
    threshold: float
    right: float
    wrong: float
    unknown: float
    strangers_named: float
    rank1: float
    """The right person is the nearest, whatever the threshold."""
    det: tuple[NDArray[np.float64], NDArray[np.float64]]
    """FPIR and FNIR over the threshold."""
    confidence: list[Bin]
    """Of all answers, the probability of what they say."""

    @property
    def figures(self) -> dict[str, float]:
        names = ("threshold", "right", "wrong", "unknown", "strangers_named", "rank1")
        return {name: round(float(getattr(self, name)), 5) for name in names}


def plan(
    people: People, strangers: Sequence[Path], size: int, photos: int, most_strangers: int
) -> Plan:
    """Draws ``size`` people, with a probe before those without.

    Raises :class:`ValueError` when nobody has a photo more than is enrolled.
    """
    chance = random.Random(0)
    probed = sorted(name for name, found in people.items() if len(found) > photos)
    if not probed:
        raise ValueError(f"nobody has more than {photos} photos: enrol fewer with --photos")
    rest = sorted(name for name, found in people.items() if len(found) == photos > 1)
    chance.shuffle(probed)
    chance.shuffle(rest)
    chosen = [*probed, *rest][:size]
    alone = strangers or [
        found[0] for name, found in sorted(people.items()) if len(found) == 1 and photos >= 1
    ]
    drawn = chance.sample(list(alone), min(most_strangers, len(alone)))
    return Plan(
        enrolled={name: people[name][:photos] for name in chosen},
        probes=[
            (name, photo)
            for name in chosen
            for photo in people[name][photos : photos + MOST_PROBES]
        ],
        strangers=drawn,
    )


def sizes(people: People, photos: int, wanted: Sequence[int]) -> list[int]:
    """As many people as the folder has, for each size wanted; each size once."""
    most = sum(len(found) > photos or len(found) == photos > 1 for found in people.values())
    return sorted({min(size, most) for size in wanted})


def identify(empty: Gallery, plan: Plan, faces: Faces, photos: int) -> IdentificationRun:
    """Enrolls, lets the threshold follow its target and searches."""
    gallery = calibrated(enrolled(empty, plan.enrolled, faces))
    known = [(name, _search(gallery, faces[photo])) for name, photo in plan.probes]
    strange = [_search(gallery, faces[photo]) for photo in plan.strangers]
    assert gallery.threshold is not None
    named = [match.name if match else None for _, match in known]
    right = [name == answer for (name, _), answer in zip(known, named, strict=True)]
    return IdentificationRun(
        people=len(gallery),
        photos=photos,
        probes=len(known),
        strangers=len(strange),
        threshold=gallery.threshold,
        right=_share(right),
        wrong=_share([bool(n) and not ok for n, ok in zip(named, right, strict=True)]),
        unknown=_share([n is None for n in named]),
        strangers_named=_share([bool(match and match.name) for match in strange]),
        rank1=_share([bool(match) and match.nearest == name for name, match in known if match]),
        det=_det(gallery, known, strange),
        confidence=_bins([*_said(known), *_said((None, match) for match in strange)]),
    )


def enrolled(empty: Gallery, people: Mapping[str, Sequence[Path]], faces: Faces) -> Gallery:
    """All at once: an edit for each of thousands of people would take minutes."""
    rows = [
        (name, photo, face)
        for name, photos in people.items()
        for photo in photos
        if (face := faces[photo]) is not None
    ]
    names = tuple(dict.fromkeys(name for name, _, _ in rows))
    index = {name: n for n, name in enumerate(names)}
    return replace(
        empty,
        names=names,
        person_index=np.array([index[name] for name, _, _ in rows], np.int32),
        embeddings=np.stack([face for _, _, face in rows]),
        photos=tuple(photo.name for _, photo, _ in rows),
    ).at_target()


def _search(gallery: Gallery, face: Embeddings | None) -> Match | None:
    return None if face is None else gallery.search(face[np.newaxis])[0]


def _scores(gallery: Gallery, matches: Sequence[Match | None]) -> NDArray[np.float64]:
    """The lowest threshold at which each is named; infinity without a face."""
    first = [
        match.distance if match and match.distance is not None else np.inf for match in matches
    ]
    second = [
        match.runner_up_distance if match and match.runner_up_distance is not None else np.inf
        for match in matches
    ]
    found: NDArray[np.float64] = decision_score(np.array(first), np.array(second), gallery.margin)
    return found


def _det(
    gallery: Gallery, known: Sequence[tuple[str, Match | None]], strange: Sequence[Match | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nearest = [match.nearest == name if match else False for name, match in known]
    genuine = _scores(gallery, [match for _, match in known])
    genuine[~np.array(nearest, bool)] = np.inf
    impostor = np.sort(_scores(gallery, strange))
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    thresholds = thresholds[np.isfinite(thresholds)]
    fpir = np.searchsorted(impostor, thresholds, "right") / max(1, len(impostor))
    fnir = 1 - np.searchsorted(np.sort(genuine), thresholds, "right") / len(genuine)
    return fpir, fnir


def _said(found: Any) -> list[tuple[float, bool]]:
    """What each answer says of itself, and whether it is so. ``found``: true name and match."""
    return [
        (match.confidence, match.name == name)
        for name, match in found
        if match is not None and match.confidence is not None
        # an enrolled person answered "unknown" is a false "nobody enrolled", as it should be
    ]


def _bins(said: Sequence[tuple[float, bool]]) -> list[Bin]:
    bins = []
    for low, high in itertools.pairwise(CONFIDENCES):
        here = [(says, holds) for says, holds in said if low <= says < high or says == high == 1.0]
        if here:
            says, holds = zip(*here, strict=True)
            bins.append(Bin(low, high, len(here), float(np.mean(says)), float(np.mean(holds))))
    return bins


def _share(chosen: Sequence[bool]) -> float:
    return float(np.mean(chosen)) if chosen else float("nan")
