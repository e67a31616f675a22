"""The customer's gallery, read without trusting it."""

import io
import pickle
import tracemalloc
import zipfile
from typing import Any, ClassVar

import numpy as np
import pytest

from facerec_tasks.recognition.checkpoint import CheckpointError
from facerec_tasks.recognition.data_pt import read_gallery
from facerec_tasks.recognition.gallery import GalleryError


class Storage:
    """Pickles as a reference to numbers kept elsewhere in the file, as torch's does."""

    def __init__(self, key: int, length: int) -> None:
        self.key, self.length = key, length


class Tensor:
    """Pickles as a tensor of one row, as torch writes it."""

    def __init__(
        self,
        key: int,
        shape: tuple[int, ...] = (1, 512),
        length: int = 512,
        stride: tuple[int, ...] = (512, 1),
    ) -> None:
        self.storage, self.shape, self.stride = Storage(key, length), shape, stride

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_tensor_v2, (self.storage, 0, self.shape, self.stride, False, {})


def _rebuild_tensor_v2() -> None:
    """Never called: only its name is written."""


class Writer(pickle._Pickler):  # type: ignore[name-defined]  # the one in Python can be steered
    """Writes the classes above under the names torch gives them."""

    def persistent_id(self, obj: object) -> Any:
        if isinstance(obj, Storage):
            return "storage", FloatStorage, str(obj.key), "cpu", obj.length
        return None

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = "torch" if obj is FloatStorage else "torch._utils"
        self.write(b"c" + f"{module}\n{obj.__name__}\n".encode())

    dispatch: ClassVar[Any] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]


Writer.dispatch[type(_rebuild_tensor_v2)] = Writer.save_global
Writer.dispatch[type] = Writer.save_global


class FloatStorage:
    """Stands for ``torch.FloatStorage``."""


def data_pt(content: object, rows: list[np.ndarray[Any, Any]]) -> bytes:
    """What ``torch.save`` makes of that."""
    text, file = io.BytesIO(), io.BytesIO()
    Writer(text, protocol=2).dump(content)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        for key, row in enumerate(rows):
            archive.writestr(f"archive/data/{key}", row.astype("<f4").tobytes())
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def rows(*values: float) -> list[np.ndarray[Any, Any]]:
    made = [np.zeros(512) for _ in values]
    for row, value in zip(made, values, strict=True):
        row[0] = value
    return made


def saved(names: object, *values: float) -> bytes:
    return data_pt([[Tensor(n) for n in range(len(values))], names], rows(*values))


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


def test_executes_nothing() -> None:
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
