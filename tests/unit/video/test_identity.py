"""One identity a track."""

import numpy as np

from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.video.identity_clusters import vote

POINTS = np.eye(128, dtype=np.float32)


def gallery() -> Gallery:
    known = Gallery.empty("resnet128")
    for row, name in enumerate(("Ada", "Bob")):
        known = known.with_person(name, POINTS[row : row + 1], [name])
    return known


def near(row: int, by: float = 0.2) -> np.ndarray:
    return POINTS[row] + by * POINTS[64]


def test_most_voices_win() -> None:
    found = vote(gallery(), np.stack([near(0), near(0), near(1)]))
    assert found.name == "Ada"
    assert 0.5 < found.confidence < 1


def test_identity_tie_is_unknown() -> None:
    assert vote(gallery(), np.stack([near(0), near(1)])).name is None


def test_stranger_stays_unknown() -> None:
    found = vote(gallery(), np.stack([POINTS[9], POINTS[9]]))
    assert (found.name, round(found.confidence)) == (None, 1)


def test_in_an_empty_gallery_everybody_is_unknown() -> None:
    found = vote(Gallery.empty("resnet128"), np.stack([near(0)]))
    assert (found.name, found.confidence) == (None, 1.0)
