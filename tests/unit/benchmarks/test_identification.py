"""The protocol of the identification benchmark, on embeddings whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.identification import det_plot
from benchmarks.identification.protocol import enrolled, identify, plan, sizes
from facerec_tasks.recognition.gallery.gallery import Gallery


def face(*coordinates: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    made = np.zeros(128, np.float32)
    made[: len(coordinates)] = coordinates
    return made


def photos(name: str, count: int) -> list[Path]:
    return [Path(f"{name}/{name}_{n + 1:04d}.jpg") for n in range(count)]


FOLDER = {name: photos(name, count) for name, count in (
    ("near", 3), ("far", 2), ("twin", 2), ("unseen", 2), ("alone", 1), ("single", 1),
)}  # fmt: skip


def test_identification_probes_are_people_with_spare_photos() -> None:
    made = plan(FOLDER, [], size=10, photos=1, most_strangers=10)
    assert (
        set(made.enrolled) == {name for name, _ in made.probes} == {"near", "far", "twin", "unseen"}
    )
    assert all(len(found) == 1 for found in made.enrolled.values())
    assert set(made.strangers) == {FOLDER["alone"][0], FOLDER["single"][0]}
    assert not {photo for _, photo in made.probes} & {
        p for found in made.enrolled.values() for p in found
    }


def test_with_two_photos_each_those_without_a_third_only_fill_the_gallery() -> None:
    made = plan(FOLDER, [], size=10, photos=2, most_strangers=1)
    assert set(made.enrolled) == {"near", "far", "twin", "unseen"}
    assert made.probes == [("near", FOLDER["near"][2])]
    assert len(made.strangers) == 1
    assert plan(FOLDER, [], size=1, photos=2, most_strangers=1).probes == made.probes


def test_strangers_of_their_own_folder_come_first() -> None:
    given = [Path("strangers/a.jpg")]
    assert plan(FOLDER, given, 10, 1, 10).strangers == given


def test_identification_without_probes_is_reported() -> None:
    with pytest.raises(ValueError, match="3 photos"):
        plan(FOLDER, [], 10, 3, 10)


def test_sizes_are_as_many_as_there_are() -> None:
    assert sizes(FOLDER, 1, (2, 40, 400)) == [2, 4]
    assert sizes(FOLDER, 2, (40,)) == [4]


def test_identification_counts_fpir_and_fnir(tmp_path: Path) -> None:
    faces = {
        FOLDER["near"][0]: face(0.0), FOLDER["near"][1]: face(0.1), FOLDER["near"][2]: face(0.2),
        FOLDER["far"][0]: face(5.0), FOLDER["far"][1]: face(5.0, 0.9),
        FOLDER["twin"][0]: face(0.0, 3.0), FOLDER["twin"][1]: face(5.0, 0.05),
        FOLDER["unseen"][0]: face(9.0), FOLDER["unseen"][1]: None,
        FOLDER["alone"][0]: face(0.05), FOLDER["single"][0]: None,
    }  # fmt: skip
    found = identify(Gallery.empty("resnet128"), plan(FOLDER, [], 10, 1, 10), faces, photos=1)
    assert (found.people, found.probes, found.strangers) == (4, 5, 2)
    assert (found.right, found.wrong, found.unknown) == (0.4, 0.2, 0.4)
    assert found.strangers_named == 0.5
    assert found.rank1 == pytest.approx(3 / 4)  # of those with a face
    fpir, fnir = found.det
    assert (np.diff(fpir) >= 0).all()
    assert (np.diff(fnir) <= 0).all()
    assert sum(bin.answers for bin in found.confidence) == 5
    picture = tmp_path / "det.png"
    det_plot.draw(picture, "a title", [found], 0.01)
    with Image.open(picture) as drawn:
        assert drawn.width > 1000


def test_enrollment_skips_photos_without_a_face() -> None:
    faces = {photo: None for found in FOLDER.values() for photo in found} | {
        FOLDER["near"][0]: face(1.0)
    }
    gallery = enrolled(Gallery.empty("resnet128"), {n: p[:1] for n, p in FOLDER.items()}, faces)
    assert gallery.names == ("near",)
    assert not math.isnan(gallery.threshold or math.nan)
