"""A working copy is the gallery it was made of, and costs a process next to nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facerec_tasks.recognition.gallery import mapped
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError

DRAWN = np.random.default_rng(3)


def gallery(people: int, photos: int, threshold: float | None = 0.52) -> Gallery:
    made = Gallery.empty("resnet128").with_threshold(threshold)
    for number in range(people):
        rows = DRAWN.normal(0, 0.1, (photos + number % 2, 128)).astype(np.float32)
        ids = [f"{number}-{n}" if n else "" for n in range(len(rows))]
        made = made.with_person(f"Zoë {number} 漢", rows, ids)
    return made


@pytest.mark.parametrize(
    "original",
    [
        gallery(0, 1),
        gallery(1, 1),
        gallery(7, 1),
        gallery(9, 3),
        gallery(9, 3, threshold=None),
        Gallery.empty("facenet"),
    ],
)
def test_it_is_the_gallery_it_was_made_of(original: Gallery, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(mapped.to_bytes(original))
    copy = mapped.open_file(tmp_path / "copy")
    assert copy.to_bytes() == original.to_bytes()
    probes = DRAWN.normal(0, 0.1, (20, original.dimension)).astype(np.float32)
    assert copy.search(probes) == original.search(probes)
    assert (len(copy), copy.names) == (len(original), original.names)
    if original.names:
        name = original.names[-1]
        assert copy.photos_of(name) == original.photos_of(name)
        assert copy.without_person(name).to_bytes() == original.without_person(name).to_bytes()
        assert copy.renamed(name, "Ada").to_bytes() == original.renamed(name, "Ada").to_bytes()
        more = copy.with_person("New", probes[:2], ["a", "b"])
        assert more.search(probes[:1])[0].name == "New"
        with pytest.raises(ValueError, match="read-only"):
            copy.embeddings[0, 0] = 1


def test_texts_are_a_sequence() -> None:
    texts = mapped.StringArray.of(["", "é", "", "漢字", "z"])
    assert list(texts) == ["", "é", "", "漢字", "z"]
    assert (texts[-1], texts[1:3], len(texts)) == ("z", ("é", ""), 5)
    assert "漢字" in texts
    assert texts.index("z") == 4
    with pytest.raises(IndexError):
        texts[5]


def test_another_file_is_refused(tmp_path: Path) -> None:
    whole = mapped.to_bytes(gallery(3, 2))
    damaged = [b"", b"FACEREC-GALLERY1", gallery(2, 1).to_bytes(), whole[:100], whole[:-600]]
    for number, data in enumerate(damaged):
        path = tmp_path / str(number)
        path.write_bytes(data)
        with pytest.raises(GalleryError):
            mapped.open_file(path)


def test_children_share_a_gallery_that_was_replaced() -> None:
    command = [sys.executable, "-m", "benchmarks.shared_gallery", "50000"]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert measured["after_mb"] < 8, "it is 51 MB of numbers, and would be 20 of names"
