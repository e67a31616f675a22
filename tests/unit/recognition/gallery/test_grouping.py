"""Unknown faces are grouped by who they may be."""

import numpy as np

from benchmarks.grouping import pairwise
from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery.grouping import grouped


def people(count: int, photos: int, spread: float = 0.025) -> Embeddings:
    """[count x photos, 128]: people 1.4 apart, photos of one 0.4."""
    chance = np.random.default_rng(7)
    centers = np.eye(128, dtype=np.float32)[:count].repeat(photos, axis=0)
    return (centers + chance.normal(0, spread, centers.shape)).astype(np.float32)


def test_photos_of_one_person_come_into_one_group() -> None:
    labels = grouped(people(10, 4), [-1] * 40, RESNET128).tolist()
    assert pairwise([str(n // 4) for n in range(40)], labels) == (1.0, 1.0, 1.0)


def test_new_faces_join_the_groups_there_are() -> None:
    faces = people(5, 4)
    old = np.flatnonzero(np.arange(20) % 4 < 3)
    before = dict(
        zip(old.tolist(), grouped(faces[old], [-1] * 15, RESNET128).tolist(), strict=True)
    )
    labels = grouped(faces, [before.get(n, -1) for n in range(20)], RESNET128).tolist()
    assert {n: labels[n] for n in before} == before
    assert all(labels[n] == labels[n - 1] for n in range(3, 20, 4))


def test_strangers_stay_alone() -> None:
    labels = grouped(people(30, 1), [-1] * 30, RESNET128)
    assert len(set(labels.tolist())) == 30


def test_one_face_in_between_does_not_join_two_people() -> None:
    faces = people(2, 5, spread=0.015)
    between = 0.55 * faces[0] + 0.45 * faces[5]
    labels = grouped(np.vstack([faces, between / np.linalg.norm(between)]), [-1] * 11, RESNET128)
    assert labels[0] != labels[5]


def test_nobody_is_in_no_group() -> None:
    assert grouped(np.zeros((0, 128), np.float32), [], RESNET128).tolist() == []
