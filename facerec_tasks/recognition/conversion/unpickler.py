"""Interprets the pickle instructions ``torch.save`` writes, and no others.

Never calls or imports a name found in the file: tensors become read-only numpy views, everything
else is a list, a dictionary, text or a number.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.conversion.errors import refuse

MAX_DIMENSIONS = 8

DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


@dataclass(frozen=True)
class TensorStorage:
    """A stretch of numbers, by its key in the file."""

    key: str
    dtype: np.dtype[Any]
    length: int


FetchStorage = Callable[[TensorStorage], NDArray[np.uint8] | None]
"""The bytes of a storage; None leaves its tensors out."""


class RestrictedUnpickler(pickle._Unpickler):
    """Python's own reader with the instructions of ``torch.save`` alone (protocol 2).

    It is the one in Python: the one in C knows all instructions, and takes memory for any place of
    its memo that a file names.
    """

    def __init__(self, stream: io.BytesIO, fetch: FetchStorage) -> None:
        super().__init__(stream)
        self._fetch = fetch

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the file. Nothing is imported."""
        known = {
            ("collections", "OrderedDict"): _empty_dictionary,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): _tensor_of_parameter,
            **{("torch", storage): dtype for storage, dtype in DTYPES.items()},
        }
        if (module, name) not in known:
            refuse(f"it names {module}.{name}, which is no tensor")
        return known[module, name]

    def persistent_load(self, pid: Any) -> TensorStorage:
        """``("storage", type, key, device, length[, view])``."""
        kind, dtype, key, _device, length, *view = pid
        known = isinstance(dtype, np.dtype) and isinstance(key, str) and _natural((length,))
        if kind != "storage" or not known:
            refuse("unknown kind of storage")
        if any(part is not None for part in view):
            refuse("a view of a storage")
        return TensorStorage(key, dtype, length)

    def _tensor(
        self, storage: Any, offset: int, shape: Any, strides: Any, *_: Any
    ) -> NDArray[Any] | None:
        """As ``torch._utils._rebuild_tensor_v2``: a view on its storage."""
        if not isinstance(storage, TensorStorage) or not _natural((offset, *shape, *strides)):
            refuse("malformed tensor")
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
            refuse("malformed tensor")
        elements = math.prod(shape)
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if elements > storage.length or (elements and last >= storage.length):
            refuse(f"tensor of shape {shape} in a storage of {storage.length}")
        raw, size = self._fetch(storage), storage.dtype.itemsize
        if raw is None:
            return None
        if raw.size != storage.length * size:
            refuse("storage of another length than it claims")
        numbers = raw.view(storage.dtype)[offset:] if elements else np.empty(0, storage.dtype)
        view = np.lib.stride_tricks.as_strided(
            numbers, shape, [s * size for s in strides], writeable=False
        )
        return np.asarray(view)


def _natural(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 2**48 for value in values)


def _empty_dictionary() -> dict[Any, Any]:
    return {}


def _tensor_of_parameter(tensor: Any, _requires_grad: Any, _hooks: Any) -> Any:
    return tensor


def _drop_attributes(unpickler: Any) -> None:
    """A state dictionary carries ``_metadata`` as an attribute: not needed."""
    unpickler.stack.pop()


_ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "BUILD", "REDUCE", "GLOBAL", "STACK_GLOBAL", "BINPERSID"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS"),
    *("NONE", "NEWTRUE", "NEWFALSE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
}


_NAMES = {ord(instruction.code): instruction.name for instruction in pickletools.opcodes}


class _Instructions(dict[int, Callable[[Any], None]]):
    """How each instruction is carried out, by its code."""

    def __missing__(self, code: int) -> Any:
        name = _NAMES.get(code, hex(code))
        refuse(f"instruction {name}: the file wants to do more than hold data")


RestrictedUnpickler.dispatch = _Instructions(
    {code: pickle._Unpickler.dispatch[code] for code, name in _NAMES.items() if name in _ALLOWED}
    | {ord(pickle.BUILD): _drop_attributes}
)
