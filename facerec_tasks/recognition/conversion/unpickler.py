"""Interprets the pickle instructions ``torch.save`` writes, and no others.

Never calls or imports a name found in the file: tensors become read-only numpy views, everything
else is a list, a dictionary, text or a number.
"""

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.conversion.errors import refuse

MAX_PICKLE_BYTES = 64 * 1024 * 1024
"""The pickle holds names and shapes only: about 100 bytes a tensor."""

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
class GlobalName:
    """A global the pickle mentions. Only a name: nothing is imported."""

    module: str
    attribute: str


@dataclass(frozen=True)
class TensorStorage:
    """A stretch of numbers, by its key in the file."""

    key: str
    dtype: np.dtype[Any]
    length: int


FetchStorage = Callable[[TensorStorage], NDArray[Any]]


def no_storage(storage: TensorStorage) -> NDArray[Any]:
    refuse(f"no storage {storage.key!r}")


class TensorReader:
    """Turns a tensor's description into a view on its storage, or refuses."""

    def __init__(self, fetch: FetchStorage, wanted: dict[str, TensorStorage] | None = None) -> None:
        self._fetch = fetch
        self._wanted = wanted
        """When given, tensors are not read; the storages they need are noted here."""

    def tensor(self, arguments: tuple[Any, ...]) -> NDArray[Any] | None:
        """Arguments of ``torch._utils._rebuild_tensor_v2``."""
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, TensorStorage) or not _natural((offset, *shape, *strides)):
            refuse("malformed tensor")
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
            refuse("malformed tensor")
        elements = math.prod(shape)
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if elements > storage.length or (elements and last >= storage.length):
            refuse(f"tensor of shape {shape} in a storage of {storage.length}")
        if self._wanted is not None:
            if self._wanted.setdefault(storage.key, storage) != storage:
                refuse("one storage of two types")
            return None
        raw = self._fetch(storage)
        if raw.size != storage.length * storage.dtype.itemsize:
            refuse("storage of another length than it claims")
        size = storage.dtype.itemsize
        numbers = raw.view(storage.dtype)[offset:] if elements else np.empty(0, storage.dtype)
        view = np.lib.stride_tricks.as_strided(
            numbers, shape, [s * size for s in strides], writeable=False
        )
        return np.asarray(view)


def _natural(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 2**48 for value in values)


class RestrictedUnpickler:
    """The pickle instructions ``torch.save`` writes (protocol 2), and no others."""

    def __init__(self, tensors: TensorReader) -> None:
        self._tensors = tensors
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, program: bytes) -> Any:
        if len(program) > MAX_PICKLE_BYTES:
            refuse("pickle too large")
        for opcode, argument, _position in pickletools.genops(program):
            if opcode.name == "STOP":
                break
            self._step(opcode.name, argument)
        if len(self._stack) != 1 or self._marks:
            refuse("malformed pickle")
        return self._stack[0]

    def _step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self._stack.append(argument)
        else:
            action = _ACTIONS.get(name)
            if action is None:
                refuse(f"instruction {name}: the file wants to do more than hold data")
            action(self, argument)

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def proto(self, version: int) -> None:
        if version > 4:
            refuse(f"pickle protocol {version}")

    def mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def tuple_since_mark(self, _: None) -> None:
        self._stack.append(tuple(self._since_mark()))

    def tuple_of(self, count: int) -> None:
        items = tuple(self._stack[-count:])
        if len(items) != count:
            refuse("malformed pickle")
        del self._stack[-count:]
        self._stack.append(items)

    def append(self, _: None) -> None:
        item = self._stack.pop()
        self._top(list).append(item)

    def appends(self, _: None) -> None:
        items = self._since_mark()
        self._top(list).extend(items)

    def set_item(self, _: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._insert([key, value])

    def set_items(self, _: None) -> None:
        self._insert(self._since_mark())

    def _insert(self, pairs: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int):
                refuse("a dictionary key that is neither text nor number")
            target[key] = value

    def _top(self, kind: type[Any]) -> Any:
        if not isinstance(self._stack[-1], kind):
            refuse("malformed pickle")
        return self._stack[-1]

    def build(self, _: None) -> None:
        """A state dictionary carries ``_metadata`` as an attribute: not needed, dropped."""
        self._stack.pop()
        self._top(dict)

    def global_name(self, argument: str) -> None:
        self._stack.append(_allowed(GlobalName(*argument.split(" ", 1))))

    def stack_global(self, _: None) -> None:
        attribute, module = self._stack.pop(), self._stack.pop()
        self._stack.append(_allowed(GlobalName(module, attribute)))

    def persistent(self, _: None) -> None:
        """``("storage", type, key, device, length[, view])``."""
        kind, storage, key, _device, length, *view = self._stack.pop()
        known = isinstance(storage, GlobalName) and storage.attribute in DTYPES
        if kind != "storage" or not known or not isinstance(key, str) or not _natural((length,)):
            refuse("unknown kind of storage")
        if any(part is not None for part in view):
            refuse("a view of a storage")
        self._stack.append(TensorStorage(key, DTYPES[storage.attribute], length))

    def reduce(self, _: None) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if not isinstance(name, GlobalName) or not isinstance(arguments, tuple):
            refuse("a call of something that is no name")
        if name.attribute == "OrderedDict" and not arguments:
            self._stack.append({})
        elif name.attribute == "_rebuild_tensor_v2":
            self._stack.append(self._tensors.tensor(arguments))
        elif name.attribute == "_rebuild_parameter":
            self._stack.append(arguments[0])  # (tensor, requires_grad, hooks)
        else:
            refuse(f"a call of {name.module}.{name.attribute}")


_ALLOWED = {
    GlobalName("collections", "OrderedDict"),
    GlobalName("torch._utils", "_rebuild_tensor_v2"),
    GlobalName("torch._utils", "_rebuild_parameter"),
    *(GlobalName("torch", storage) for storage in DTYPES),
}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_ACTIONS: dict[str, Callable[[RestrictedUnpickler, Any], None]] = {
    "PROTO": RestrictedUnpickler.proto,
    "FRAME": lambda machine, length: None,
    "MARK": RestrictedUnpickler.mark,
    "BINPUT": RestrictedUnpickler.put,
    "LONG_BINPUT": RestrictedUnpickler.put,
    "MEMOIZE": RestrictedUnpickler.memoize,
    "BINGET": RestrictedUnpickler.get,
    "LONG_BINGET": RestrictedUnpickler.get,
    "TUPLE": RestrictedUnpickler.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": RestrictedUnpickler.append,
    "APPENDS": RestrictedUnpickler.appends,
    "SETITEM": RestrictedUnpickler.set_item,
    "SETITEMS": RestrictedUnpickler.set_items,
    "BUILD": RestrictedUnpickler.build,
    "GLOBAL": RestrictedUnpickler.global_name,
    "STACK_GLOBAL": RestrictedUnpickler.stack_global,
    "BINPERSID": RestrictedUnpickler.persistent,
    "REDUCE": RestrictedUnpickler.reduce,
}


def _allowed(name: GlobalName) -> GlobalName:
    if name not in _ALLOWED:
        refuse(f"it names {name.module}.{name.attribute}, which is no tensor")
    return name
