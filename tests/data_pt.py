"""Writes what ``torch.save`` writes for a gallery, honest or hostile, without torch."""

import io
import pickle
import zipfile
from typing import Any, ClassVar

import numpy as np


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
