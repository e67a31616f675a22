"""The error rates are those a gallery really has."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.gallery.accuracy import (
    concatenated,
    confusions,
    curve,
    leave_one_out,
    rates,
    search_strangers,
)
from facerec_tasks.recognition.gallery.gallery import Gallery

THRESHOLD, MARGIN = 0.5, 0.1


def random_gallery(seed: int, people: int = 6, most_photos: int = 3) -> Gallery:
    random = np.random.default_rng(seed)
    gallery = replace(Gallery.empty("resnet128").with_threshold(THRESHOLD), margin=MARGIN)
    for person in range(people):
        center = random.normal(0, 0.045, 128)
        count = int(random.integers(1, most_photos + 1))
        rows = (center + random.normal(0, 0.03, (count, 128))).astype(np.float32)
        photos = [f"{person}-{n}" for n in range(count)]
        gallery = gallery.with_person(f"p{person}", rows, photos)
    return gallery


def without_photo(gallery: Gallery, row: int) -> Gallery:
    made = replace(Gallery.empty("resnet128").with_threshold(THRESHOLD), margin=MARGIN)
    for n, owner in enumerate(gallery.person_index):
        if n != row:
            name, rows = gallery.names[owner], gallery.embeddings[n : n + 1]
            made = made.with_person(name, rows, [gallery.photos[n]])
    return made


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_agrees_with_taking_each_photo_out_and_searching_for_it(seed: int) -> None:
    gallery = random_gallery(seed)
    right, wrong, fpir = [], [], []
    for row, owner in enumerate(gallery.person_index):
        name, face = gallery.names[owner], gallery.embeddings[row : row + 1]
        if len(gallery.photos_of(name)) > 1:
            (match,) = without_photo(gallery, row).search(face)
            right.append(match.name == name)
            wrong.append(match.name not in (name, None))
        (match,) = gallery.without_person(name).search(face)
        fpir.append(match.name is not None)
    measured = rates(leave_one_out(gallery), THRESHOLD, MARGIN)
    assert measured.right == pytest.approx(np.mean(right) if right else math.nan, nan_ok=True)
    assert measured.wrong == pytest.approx(np.mean(wrong) if wrong else math.nan, nan_ok=True)
    assert measured.fpir == pytest.approx(np.mean(fpir))


def test_strangers_given_besides_count_as_strangers_only() -> None:
    gallery = random_gallery(1)
    alone = leave_one_out(gallery)
    both = concatenated(alone, search_strangers(gallery, gallery.embeddings[:2]))
    assert rates(both, THRESHOLD, MARGIN).right == rates(alone, THRESHOLD, MARGIN).right
    assert len(both.own) == len(alone.own) + 2
    found = rates(search_strangers(gallery, gallery.embeddings[:2]), THRESHOLD, MARGIN)
    assert (found.fpir, math.isnan(found.right)) == (1.0, True)


def test_many_photos_are_drawn_from() -> None:
    gallery = random_gallery(2, people=30)
    assert len(leave_one_out(gallery, most=20).own) == 20


def test_accuracy_of_one_person_and_of_an_empty_gallery() -> None:
    for people in (0, 1):
        measured = rates(leave_one_out(random_gallery(3, people)), 0.5, 0.1)
        assert math.isnan(measured.fpir)


def test_accuracy_curve_spans_all_thresholds() -> None:
    measured = curve(leave_one_out(random_gallery(5)), RESNET128, 0.0)
    assert (measured[0].right, measured[0].fpir) == (0, 0)
    assert measured[-1].fpir == 1
    thresholds = [m.threshold for m in measured]
    assert thresholds == sorted(thresholds)


def test_confusions_are_pairs_of_people_the_nearest_first() -> None:
    gallery = random_gallery(6, people=8)
    found = confusions(gallery, leave_one_out(gallery), most=5)
    assert len({frozenset(c.names) for c in found}) == len(found) == 5
    assert [c.distance for c in found] == sorted(c.distance for c in found)
    worst = found[0]
    rows = [gallery.photos.index(photo) for photo in worst.photos]
    assert [gallery.names[gallery.person_index[row]] for row in rows] == list(worst.names)
