"""Matches a face with the gallery: nearest people, name or unknown, confidence."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.embedding.score_model import lead_needed
from facerec_tasks.recognition.gallery import operating_point

if TYPE_CHECKING:
    from facerec_tasks.recognition.gallery.gallery import Gallery


@dataclass(frozen=True)
class NearestPerson:
    """One of the people who are nearest to a face."""

    name: str
    distance: float
    similarity: float
    """0 to 100: how probable it is that two faces this far apart are one person's, if one person's
    and two people's were as frequent. Does not depend on who else is enrolled."""
    confidence: float
    """0 to 1: how probable it is that the face is this person's, given everybody who is enrolled,
    when half of all faces are of people who are not."""
    photos: int
    """From how many the person is enrolled."""
    person_id: str = ""


@dataclass(frozen=True)
class Match:
    """Who one face is."""

    name: str | None
    """None when nobody is near enough, or two people are equally near."""
    distance: float | None
    """To the nearest person; None in an empty gallery, like all that follows."""
    confidence: float | None
    """Of the nearest person, when it is named. Otherwise the probability that nobody enrolled is on
    the photo; ``1 - confidence`` is then shared by the candidates and those behind them."""
    candidates: tuple[NearestPerson, ...] = ()
    """The nearest people, nearest first, also when nobody is named."""
    runner_up: str | None = None
    """The nearest other person; None when only one is known."""
    runner_up_distance: float | None = None

    @property
    def person_id(self) -> str | None:
        """Of the person who is named."""
        return self.candidates[0].person_id if self.name is not None else None

    @property
    def nearest(self) -> str | None:
        """The nearest person, also when that is not near enough."""
        return self.candidates[0].name if self.candidates else None


NOBODY = Match(name=None, distance=None, confidence=None)

CANDIDATES = 3
"""People listed for a face unless another number is asked for."""
_CONSIDERED = 5
"""People among whom the probability that somebody is enrolled is divided."""


def match(gallery: "Gallery", probe: Embeddings, candidates: int) -> Match:
    """Who one embedding [dimension] is, with the nearest people."""
    if not gallery.names:
        return NOBODY
    found = _nearest_people(gallery, probe, max(_CONSIDERED, candidates))
    first, second = found[0][1], found[1][1] if len(found) > 1 else None
    enrolled = _enrolled(gallery, first, second)
    listed = _candidates(gallery, found, enrolled)
    known = _is_known(gallery, first, second)
    return Match(
        name=listed[0].name if known else None,
        distance=first,
        confidence=listed[0].confidence if known else 1 - enrolled,
        candidates=listed[: max(1, candidates)],
        runner_up=listed[1].name if len(found) > 1 else None,
        runner_up_distance=second,
    )


def _nearest_people(gallery: "Gallery", probe: Embeddings, most: int) -> list[tuple[int, float]]:
    """Indexes of the nearest people and the exact distances, nearest first."""
    estimates = [block.estimate(probe) for block in gallery.blocks]
    found = [_nearest(gallery, estimates, probe)]
    while len(found) < min(most, len(gallery.names)):
        for block, estimate in zip(gallery.blocks, estimates, strict=True):
            estimate[block.person_index == found[-1][0]] = np.inf
        found.append(_nearest(gallery, estimates, probe))
    return found


def _nearest(
    gallery: "Gallery", estimates: list[Embeddings], probe: Embeddings
) -> tuple[int, float]:
    """Index of the nearest person and the exact distance; the first of several as near."""
    found = [
        block.nearest(estimate, probe)
        for block, estimate in zip(gallery.blocks, estimates, strict=True)
    ]
    return min(found, key=lambda one: one[1])


def _is_known(gallery: "Gallery", distance: float, runner_up_distance: float | None) -> bool:
    if gallery.threshold is None:
        return True
    if distance > gallery.threshold:
        return False
    lead = lead_needed(distance, gallery.threshold, gallery.margin)
    return runner_up_distance is None or runner_up_distance - distance >= lead


def _enrolled(gallery: "Gallery", first: float, second: float | None) -> float:
    """Probability that the face is that of somebody enrolled, see :class:`NearestPerson`."""
    if gallery.threshold is None:
        return 1.0
    lacking = 0.0 if second is None else max(0.0, gallery.margin - (second - first))
    expected = operating_point.rates(
        gallery.embedder.scores, gallery.effective_people, gallery.margin
    )
    return expected.enrolled_at(first + lacking - gallery.impostor_shift)


def _candidates(
    gallery: "Gallery", found: list[tuple[int, float]], enrolled: float
) -> tuple[NearestPerson, ...]:
    ratios = gallery.embedder.scores.likelihood_ratio(np.array([d for _, d in found]))
    odds = np.exp(ratios - ratios[0])
    shares = enrolled * odds / odds[:_CONSIDERED].sum()
    return tuple(
        NearestPerson(
            name=gallery.names[person],
            distance=distance,
            similarity=100 / (1 + float(np.exp(-ratio))),
            confidence=float(share),
            photos=int(np.count_nonzero(gallery.person_index == person)),
            person_id=gallery.ids[person],
        )
        for (person, distance), ratio, share in zip(found, ratios, shares, strict=True)
    )
