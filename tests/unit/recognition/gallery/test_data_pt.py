"""The customer's gallery, read without trusting it."""

import io
import pickle
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest

from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.gallery.data_pt import read_gallery
from facerec_tasks.recognition.gallery.gallery import GalleryError
from tests.data_pt import Tensor, data_pt, rows, saved


def probe(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return rows(value)[0].astype(np.float32)[np.newaxis]


def test_names_the_nearest_however_far_as_the_reference_does() -> None:
    gallery = read_gallery(saved(["Ann", "Bob"], 0.0, 1.0))
    assert (gallery.engine, gallery.dimension, gallery.threshold) == ("facenet", 512, None)
    assert [gallery.search(probe(x))[0].name for x in (0.4, 0.6, 99.0)] == ["Ann", "Bob", "Bob"]


def test_of_two_equally_near_the_first_in_the_file_is_named() -> None:
    gallery = read_gallery(saved(["Bob", "Ann", "Bob"], 5.0, 1.0, 1.0))
    assert gallery.search(probe(1.0))[0].name == "Ann"


def test_a_name_that_comes_twice_is_one_person_and_no_mean_is_made() -> None:
    gallery = read_gallery(saved(["Ann", "Bob", "Ann"], 0.0, 1.2, 2.0))
    assert gallery.names == ("Ann", "Bob")
    assert gallery.search(probe(1.05))[0].name == "Bob"


def test_a_threshold_is_taken_when_asked_for() -> None:
    gallery = read_gallery(saved(["Ann", "Bob"], 0.0, 5.0), threshold=0.5)
    assert [gallery.search(probe(x))[0].name for x in (0.4, 0.6)] == ["Ann", None]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a file of torch",
        saved(["Ann"], 0.0, 1.0),
        saved([], 0.0),
        saved(["Ann", 1], 0.0, 1.0),
        saved(["Ann", "Bob"], 0.0, float("nan")),
        saved(["Ann"], float("inf")),
        data_pt([[], []], []),
        data_pt([["no tensor"], ["Ann"]], []),
        data_pt([[Tensor(0, (1, 256), 256)], ["Ann"]], [np.zeros(256)]),
        data_pt([[Tensor(0, (2, 512))], ["Ann"]], [np.zeros(512)]),
        data_pt([[Tensor(0, (1, 512), 1, (0, 0))], ["Ann"]], [np.zeros(1)]),
        data_pt([[Tensor(0, (10**6, 10**6), 1, (0, 0))], ["Ann"]], [np.zeros(1)]),
        data_pt([[Tensor(0, (1, 512), 10**12)], ["Ann"]], [np.zeros(1)]),
        data_pt([[Tensor(7)], ["Ann"]], []),
        data_pt({"a": 1}, []),
        data_pt([Tensor(0), ["Ann"]], rows(0.0)),
        pickle.dumps([[1.0], ["Ann"]]),
    ],
)
def test_refuses_what_is_no_gallery(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_gallery(data)


def test_refuses_names_that_cannot_be_answers() -> None:
    with pytest.raises(GalleryError, match="not a name"):
        read_gallery(saved(["unknown"], 0.0))


def test_refuses_more_embeddings_than_memory_should_hold() -> None:
    """One small storage that a hundred thousand tensors share."""
    tensor = Tensor(0)
    data = data_pt([[tensor] * 100_001, ["x"] * 100_001], rows(0.0))
    with pytest.raises(CheckpointError, match="at most 100000"):
        read_gallery(data)


def test_data_pt_executes_no_pickle_code() -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("executed",)

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([[Payload()], ["Ann"]], protocol=2))
    with pytest.raises(CheckpointError):
        read_gallery(file.getvalue())


def test_a_zip_bomb_is_not_inflated() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("archive/data.pkl", "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(bytes(1 << 20))
        archive.writestr("archive/version", b"3\n")
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read_gallery(file.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
