"""The threshold holds its target on people made like LFW's, and follows the size of the gallery."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery import accuracy, operating_point
from facerec_tasks.recognition.gallery.calibration import calibrated, own_searches
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError


class Population:
    """People whose faces are as far from each other as LFW's are to resnet128.

    The distance of two points of a k-dimensional normal distribution has a relative deviation of
    1 / sqrt(2 k): 37 dimensions of what people are and 15 of what photos are give the means and
    deviations of the model. ``closeness`` moves all people together.
    """

    def __init__(self, seed: int = 0, closeness: float = 1.0) -> None:
        self._random = np.random.default_rng(seed)
        within = 0.4156 / np.sqrt(2 * 15)
        between = np.sqrt((closeness * 0.829) ** 2 - 0.4156**2) / np.sqrt(2 * 37)
        self._between, self._within = between, within

    def people(self, count: int, photos: int) -> Embeddings:
        """[count, photos, 128]"""
        found = np.zeros((count, photos, 128))
        found[:, :, :37] += self._random.normal(0, self._between, (count, 1, 37))
        found[:, :, 37:52] += self._random.normal(0, self._within, (count, photos, 15))
        return found.astype(np.float32)


def gallery_of(photos: Embeddings, target: float = 0.01) -> Gallery:
    """People x photos x 128, all at once."""
    people, each, dimension = photos.shape
    empty = Gallery.empty("resnet128", target_fpir=target)
    return replace(
        empty,
        names=tuple(f"p{n}" for n in range(people)),
        person_index=np.repeat(np.arange(people, dtype=np.int32), each),
        embeddings=photos.reshape(-1, dimension).copy(),
        photos=tuple(f"{n}" for n in range(people * each)),
    ).at_target()


def measured(gallery: Gallery, strangers: Embeddings, probes: Embeddings) -> tuple[float, float]:
    """FPIR, and the share of probes, one for each person, given the right name."""
    assert gallery.threshold is not None
    false = accuracy.rates(
        accuracy.search_strangers(gallery, strangers), gallery.threshold, gallery.margin
    ).fpir
    right = [match.name == f"p{n}" for n, match in enumerate(gallery.search(probes))]
    return false, float(np.mean(right))


@pytest.mark.parametrize(("people", "photos"), [(40, 1), (400, 1), (1600, 1), (400, 2)])
def test_threshold_keeps_the_target_fpir(people: int, photos: int) -> None:
    population = Population(people)
    known = population.people(people, photos + 1)
    gallery = calibrated(gallery_of(known[:, :photos]))
    strangers = population.people(3000, 1)[:, 0]
    fpir, right = measured(gallery, strangers, known[:200, photos])
    assert fpir <= 0.015
    assert right >= 0.6


def test_people_more_alike_than_lfws_lower_the_threshold() -> None:
    shifts = []
    for closeness in (0.8, 0.9, 1.05):
        population = Population(1, closeness)
        known = population.people(1000, 1)
        gallery = calibrated(gallery_of(known))
        fpir, _ = measured(gallery, population.people(3000, 1)[:, 0], known[:10, 0])
        assert fpir <= 0.015
        shifts.append(gallery.impostor_shift)
    assert shifts == sorted(shifts)
    assert shifts[0] < 0 < shifts[-1]


def test_follows_the_number_of_people_with_every_edit() -> None:
    population = Population(2)
    gallery = gallery_of(population.people(400, 1))
    larger = gallery.with_person("new", population.people(1, 60)[0], [f"n{n}" for n in range(60)])
    assert gallery.threshold is not None
    assert larger.threshold is not None
    assert gallery_of(population.people(1600, 1)).threshold < gallery.threshold  # type: ignore[operator]
    assert larger.effective_people > gallery.effective_people + 9
    assert larger.without_person("new").threshold == gallery.threshold
    strict = gallery.with_target_fpir(0.001).threshold
    assert strict is not None
    assert strict < gallery.threshold


def test_a_threshold_that_was_set_stays() -> None:
    gallery = gallery_of(Population(3).people(10, 1)).with_threshold(0.4)
    assert gallery.without_person("p1").threshold == 0.4
    assert calibrated(gallery) is gallery
    assert gallery.verification_threshold == 0.4


def test_claims_about_one_person_do_not_depend_on_the_size() -> None:
    for people in (2, 2000):
        gallery = gallery_of(Population(4).people(people, 1))
        assert gallery.verification_threshold == RESNET128.threshold


def test_duplicate_person_does_not_tighten_the_threshold() -> None:
    population = Population(5)
    known = population.people(300, 1)
    twice = known[:20] + population.people(20, 1) * 0.05
    gallery = calibrated(gallery_of(np.concatenate([known, twice])))
    alone = calibrated(gallery_of(known))
    assert gallery.threshold is not None
    assert alone.threshold is not None
    assert gallery.threshold > alone.threshold - 0.02
    assert len(own_searches(gallery).scores) == 280


@pytest.mark.parametrize("people", [0, 1, 2])
def test_small_galleries_have_the_threshold_of_the_model(people: int) -> None:
    gallery = calibrated(gallery_of(Population(6).people(people, 1)))
    assert gallery.threshold == pytest.approx(0.516, abs=0.001)


def test_photos_of_one_person_count_for_less_than_people() -> None:
    assert operating_point.effective_people(np.array([1, 1, 0])) == 2
    assert operating_point.effective_people(np.array([4])) == pytest.approx(4.5)


def test_the_target_is_kept_in_the_file() -> None:
    gallery = calibrated(gallery_of(Population(7).people(150, 1), target=0.005))
    again = Gallery.from_bytes(gallery.to_bytes())
    assert (again.target_fpir, again.impostor_shift, again.threshold) == (
        0.005, gallery.impostor_shift, gallery.threshold,
    )  # fmt: skip


def _header(**changes: object) -> bytes:
    """The file of an empty gallery with another header; None leaves a field out."""
    data = Gallery.empty("resnet128").to_bytes()
    length = int.from_bytes(data[16:24], "little")
    header = json.loads(data[24 : 24 + length]) | changes
    text = json.dumps({k: v for k, v in header.items() if v != "left out"}).encode()
    return data[:16] + len(text).to_bytes(8, "little") + text + bytes(-(24 + len(text)) % 64)


@pytest.mark.parametrize(("threshold", "target"), [(0.52, 0.01), (0.5, None), (None, None)])
def test_older_galleries_follow_the_target_unless_a_threshold_is_set(
    threshold: float | None, target: float | None
) -> None:
    data = _header(threshold=threshold, target_fpir="left out", impostor_shift="left out")
    assert Gallery.from_bytes(data).target_fpir == target


@pytest.mark.parametrize(
    "change",
    [
        {"target_fpir": 0}, {"target_fpir": 1.0}, {"target_fpir": "0.01"}, {"target_fpir": True},
        {"target_fpir": -0.1}, {"impostor_shift": "x"}, {"impostor_shift": None},
        {"impostor_shift": 1e300}, {"threshold": None}, {"embedder": 7}, {"embedder": {}},
        {"embedder": RESNET128.to_dict() | {"name": "other"}},
    ],
    ids=str,
)  # fmt: skip
def test_hostile_headers_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(GalleryError):
        Gallery.from_bytes(_header(**change))
