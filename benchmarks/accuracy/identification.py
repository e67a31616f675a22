"""Who is this? Everybody is enrolled from one photo; their others and strangers are looked at."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery import accuracy
from facerec_tasks.recognition.gallery.accuracy import Rates, Trials
from facerec_tasks.recognition.gallery.gallery import Gallery

DRAWS = 20
"""Which photo of a person is enrolled is drawn by lot, so often; the figures are means."""

FACELESS = 1e9
"""Distance of a photo without a face to everybody: far, but there, so that it is counted."""


@dataclass(frozen=True)
class Identification:
    """Shares are of all photos, those without a face included."""

    people: int
    rank1: float
    """The nearest person is the right one, without any threshold."""
    default: Rates
    """With the engine's own threshold."""
    curve: list[Rates]


def identify(
    people: Mapping[str, Sequence[Embeddings | None]],
    strangers: Sequence[Embeddings | None],
    engine: str,
    draws: int = DRAWS,
) -> Identification:
    """``None`` stands for a photo on which no face was found."""
    empty = Gallery.empty(engine)
    assert empty.threshold is not None
    tried = [
        (_enrolled_tried(gallery, people, rows), _strangers_tried(gallery, strangers))
        for gallery, rows in _galleries(empty, people, draws)
    ]
    curves = [
        [_joined(rate, strange) for rate, strange in zip(*_curves(pair, empty), strict=True)]
        for pair in tried
    ]
    default = [
        _joined(*(accuracy.rates(trials, empty.threshold, empty.margin) for trials in pair))
        for pair in tried
    ]
    return Identification(
        people=len(people),
        rank1=float(np.mean([(known.own < known.first).mean() for known, _ in tried])),
        default=_mean(default),
        curve=[_mean(rates) for rates in zip(*curves, strict=True)],
    )


def _galleries(
    empty: Gallery, people: Mapping[str, Sequence[Embeddings | None]], draws: int
) -> Iterator[tuple[Gallery, dict[str, int]]]:
    """A gallery, and which photo of everybody it was made from."""
    for draw in range(draws):
        chance, gallery, rows = random.Random(draw), empty, {}
        for name, photos in people.items():
            seen = [n for n, face in enumerate(photos) if face is not None]
            if seen:
                rows[name] = chance.choice(seen)
                face = photos[rows[name]]
                assert face is not None
                gallery = gallery.with_person(name, face[np.newaxis], [name])
        yield gallery, rows


def _enrolled_tried(
    gallery: Gallery, people: Mapping[str, Sequence[Embeddings | None]], rows: Mapping[str, int]
) -> Trials:
    """The other photos of everybody."""
    probes = [
        (gallery.names.index(name), photo)
        for name, enrolled in rows.items()
        for n, photo in enumerate(people[name])
        if n != enrolled
    ]
    gaps = _to_everybody(gallery, [photo for _, photo in probes])
    every, person_index = np.arange(len(probes)), np.array([owner for owner, _ in probes], int)
    own = gaps[every, person_index]
    gaps[every, person_index] = np.inf
    return _nearest_two(gaps, own)


def _strangers_tried(gallery: Gallery, strangers: Sequence[Embeddings | None]) -> Trials:
    return _nearest_two(_to_everybody(gallery, strangers), np.full(len(strangers), np.inf))


def _to_everybody(gallery: Gallery, photos: Sequence[Embeddings | None]) -> accuracy.Distances:
    """[photos, people]"""
    gaps = [
        np.full(len(gallery), FACELESS)
        if photo is None
        else np.linalg.norm(gallery.embeddings.astype(float) - photo, axis=1)
        for photo in photos
    ]
    return np.array(gaps).reshape(len(photos), len(gallery))


def _nearest_two(gaps: accuracy.Distances, own: accuracy.Distances) -> Trials:
    ranked = np.sort(gaps, axis=1)
    return Trials(
        rows=np.full(len(own), -1),
        own=own,
        first=ranked[:, 0],
        second=ranked[:, 1],
        nearest=gaps.argmin(axis=1),
    )


def _curves(pair: tuple[Trials, Trials], empty: Gallery) -> list[list[Rates]]:
    return [accuracy.curve(trials, empty.engine, empty.margin) for trials in pair]


def _joined(enrolled: Rates, strangers: Rates) -> Rates:
    return replace(enrolled, false_names=strangers.false_names)


def _mean(rates: Sequence[Rates]) -> Rates:
    means = (np.mean([getattr(rate, name) for rate in rates]) for name in Rates.__annotations__)
    return Rates(*(round(float(mean), 5) for mean in means))
