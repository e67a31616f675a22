"""Reads weights and galleries other people's programs saved, without executing any of it.

A file of ``torch.save`` holds a pickle, and a pickle is a program. This module interprets the few
instructions ``torch.save`` itself writes for tensors, lists, dictionaries, text and numbers, and
refuses every other. It never calls a name found in the file. Arrays are read-only views on the
storage in the file, so a tensor costs no more memory than the bytes it came with, whatever its
header claims.

Formats: ``torch/serialization.py`` (zip since 1.6, before that pickles one after another) and
dlib's ``dlib/serialize.h``, ``dlib/dnn``.
"""

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

MAX_PICKLE_BYTES = 64 * 1024 * 1024
"""The pickle holds names and shapes only: about 100 bytes a tensor."""

MAX_DIMENSIONS = 8

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First pickle of a file ``torch.save`` wrote before 1.6."""

DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class CheckpointError(ValueError):
    """Raised for a file that is not what it should be: foreign, cut short or hostile. Says why."""


# --- what a pickle may name -------------------------------------------------------------------


@dataclass(frozen=True)
class _Name:
    """A global the pickle mentions. Only a name: nothing is imported."""

    module: str
    attribute: str


@dataclass(frozen=True)
class _Storage:
    """A stretch of numbers, by its key in the file."""

    key: str
    dtype: np.dtype[Any]
    length: int


_Fetch = Callable[[_Storage], NDArray[Any]]


def read_torch(data: bytes) -> Any:
    """What ``torch.save`` wrote: lists, dictionaries, text, numbers and arrays.

    Tuples come as tuples, ``OrderedDict`` as ``dict``, tensors as read-only numpy views on ``data``
    (check ``shape`` before copying). Raises :class:`CheckpointError`.
    """
    try:
        if data[: len(LEGACY_MAGIC)] == LEGACY_MAGIC:
            return _read_legacy(data)
        return _read_zip(data)
    except CheckpointError:
        raise
    except _MALFORMED as error:
        raise CheckpointError(f"not a file of torch.save: {error}") from error


_MALFORMED = (
    *(ValueError, TypeError, AttributeError, LookupError, EOFError, ArithmeticError, OSError),
    *(struct.error, zipfile.BadZipFile, NotImplementedError),
)
"""How pickletools, struct, zipfile and wrong types on the stack report malformed bytes."""


def _read_zip(data: bytes) -> Any:
    archive = zipfile.ZipFile(io.BytesIO(data))
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        _refuse("two entries of one name")
    roots = [name for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        _refuse("no single data.pkl in the archive")
    prefix = roots[0].removesuffix("data.pkl")
    order = f"{prefix}byteorder"
    if order in entries and _stored(data, entries[order]).tobytes() != b"little":
        _refuse("big-endian numbers")

    def fetch(storage: _Storage) -> NDArray[Any]:
        return _stored(data, entries[f"{prefix}data/{storage.key}"])

    return _Machine(_Shelf(fetch)).run(_stored(data, entries[roots[0]]).tobytes())


def _stored(data: bytes, entry: zipfile.ZipInfo) -> NDArray[np.uint8]:
    """The bytes of an archive entry, in place. ``torch.save`` never compresses."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        _refuse(f"compressed entry {entry.filename!r}")
    local = struct.Struct("<4s22xHH")  # local file header, PKWARE APPNOTE 4.3.7
    signature, name_length, extra_length = local.unpack_from(data, entry.header_offset)
    if signature != b"PK\x03\x04":
        _refuse("broken archive")
    start = entry.header_offset + local.size + name_length + extra_length
    if start + entry.file_size > len(data):
        _refuse("cut short")
    return np.frombuffer(data, np.uint8, entry.file_size, start)


def _read_legacy(data: bytes) -> Any:
    """Five pickles (magic, protocol, machine, object, storage keys), then the storages."""
    stream = io.BytesIO(data)
    pickles = [_next_pickle(stream) for _ in range(5)]
    plain = [_Machine(_Shelf(_no_storage)).run(pickles[i]) for i in (1, 2, 4)]
    protocol, machine, keys = plain
    if protocol != 1001 or not machine.get("little_endian"):
        _refuse("unknown protocol or byte order")
    # The object comes before its storages: a first pass learns which types and lengths they have.
    wanted: dict[str, _Storage] = {}
    _Machine(_Shelf(_no_storage, wanted)).run(pickles[3])
    places = _legacy_places(data, stream.tell(), [wanted[key] for key in keys])
    return _Machine(_Shelf(lambda storage: places[storage.key])).run(pickles[3])


def _next_pickle(stream: io.BytesIO) -> bytes:
    start = stream.tell()
    for _opcode, _argument, _position in pickletools.genops(stream):
        if stream.tell() - start > MAX_PICKLE_BYTES:
            _refuse("pickle too large")
    return stream.getbuffer()[start : stream.tell()].tobytes()


def _legacy_places(
    data: bytes, position: int, storages: list[_Storage]
) -> dict[str, NDArray[np.uint8]]:
    places = {}
    for storage in storages:
        (length,) = struct.unpack_from("<q", data, position)
        size = storage.length * storage.dtype.itemsize
        position += 8
        if length != storage.length or position + size > len(data):
            _refuse("cut short")
        places[storage.key] = np.frombuffer(data, np.uint8, size, position)
        position += size
    return places


def _no_storage(storage: _Storage) -> NDArray[Any]:
    _refuse(f"no storage {storage.key!r}")


class _Shelf:
    """Turns a tensor's description into a view on its storage, or refuses."""

    def __init__(self, fetch: _Fetch, wanted: dict[str, _Storage] | None = None) -> None:
        self._fetch = fetch
        self._wanted = wanted
        """When given, tensors are not read; the storages they need are noted here."""

    def tensor(self, arguments: tuple[Any, ...]) -> NDArray[Any] | None:
        """Arguments of ``torch._utils._rebuild_tensor_v2``."""
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, _Storage) or not _natural((offset, *shape, *strides)):
            _refuse("malformed tensor")
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
            _refuse("malformed tensor")
        elements = math.prod(shape)
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if elements > storage.length or (elements and last >= storage.length):
            _refuse(f"tensor of shape {shape} in a storage of {storage.length}")
        if self._wanted is not None:
            if self._wanted.setdefault(storage.key, storage) != storage:
                _refuse("one storage of two types")
            return None
        raw = self._fetch(storage)
        if raw.size != storage.length * storage.dtype.itemsize:
            _refuse("storage of another length than it claims")
        size = storage.dtype.itemsize
        numbers = raw.view(storage.dtype)[offset:] if elements else np.empty(0, storage.dtype)
        view = np.lib.stride_tricks.as_strided(
            numbers, shape, [s * size for s in strides], writeable=False
        )
        return np.asarray(view)


def _natural(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 2**48 for value in values)


class _Machine:
    """The pickle instructions ``torch.save`` writes (protocol 2), and no others."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, program: bytes) -> Any:
        if len(program) > MAX_PICKLE_BYTES:
            _refuse("pickle too large")
        for opcode, argument, _position in pickletools.genops(program):
            if opcode.name == "STOP":
                break
            self._step(opcode.name, argument)
        if len(self._stack) != 1 or self._marks:
            _refuse("malformed pickle")
        return self._stack[0]

    def _step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self._stack.append(argument)
        else:
            action = _ACTIONS.get(name)
            if action is None:
                _refuse(f"instruction {name}: the file wants to do more than hold data")
            action(self, argument)

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def proto(self, version: int) -> None:
        if version > 4:
            _refuse(f"pickle protocol {version}")

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
            _refuse("malformed pickle")
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
                _refuse("a dictionary key that is neither text nor number")
            target[key] = value

    def _top(self, kind: type[Any]) -> Any:
        if not isinstance(self._stack[-1], kind):
            _refuse("malformed pickle")
        return self._stack[-1]

    def build(self, _: None) -> None:
        """A state dictionary carries ``_metadata`` as an attribute: not needed, dropped."""
        self._stack.pop()
        self._top(dict)

    def global_name(self, argument: str) -> None:
        self._stack.append(_allowed(_Name(*argument.split(" ", 1))))

    def stack_global(self, _: None) -> None:
        attribute, module = self._stack.pop(), self._stack.pop()
        self._stack.append(_allowed(_Name(module, attribute)))

    def persistent(self, _: None) -> None:
        """``("storage", type, key, device, length[, view])``."""
        kind, storage, key, _device, length, *view = self._stack.pop()
        known = isinstance(storage, _Name) and storage.attribute in DTYPES
        if kind != "storage" or not known or not isinstance(key, str) or not _natural((length,)):
            _refuse("unknown kind of storage")
        if any(part is not None for part in view):
            _refuse("a view of a storage")
        self._stack.append(_Storage(key, DTYPES[storage.attribute], length))

    def reduce(self, _: None) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            _refuse("a call of something that is no name")
        if name.attribute == "OrderedDict" and not arguments:
            self._stack.append({})
        elif name.attribute == "_rebuild_tensor_v2":
            self._stack.append(self._shelf.tensor(arguments))
        elif name.attribute == "_rebuild_parameter":
            self._stack.append(arguments[0])  # (tensor, requires_grad, hooks)
        else:
            _refuse(f"a call of {name.module}.{name.attribute}")


_ALLOWED = {
    _Name("collections", "OrderedDict"),
    _Name("torch._utils", "_rebuild_tensor_v2"),
    _Name("torch._utils", "_rebuild_parameter"),
    *(_Name("torch", storage) for storage in DTYPES),
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
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.proto,
    "FRAME": lambda machine, length: None,
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "BUILD": _Machine.build,
    "GLOBAL": _Machine.global_name,
    "STACK_GLOBAL": _Machine.stack_global,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
}


def _allowed(name: _Name) -> _Name:
    if name not in _ALLOWED:
        _refuse(f"it names {name.module}.{name.attribute}, which is no tensor")
    return name


# --- dlib -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DlibLayer:
    """One layer with learned numbers: ``con_4``, ``affine_`` or ``fc_2``, and these, flat."""

    kind: str
    parameters: NDArray[np.float32]


def read_dlib(data: bytes) -> list[DlibLayer]:
    """The layers with parameters of a serialised dlib network, outermost input first.

    dlib writes each layer as its tag (a text with its length) and then its parameters (version,
    four dimensions, little-endian floats). Raises :class:`CheckpointError`.
    """
    layers = list(_dlib_layers(data))
    if not layers:
        _refuse("no layer of a dlib network in it")
    return layers


_DLIB_TAGS = {kind: bytes([1, len(kind)]) + kind.encode() for kind in ("con_4", "affine_", "fc_2")}
_DLIB_GAP = 4096
"""Bytes between two tensors: layer settings. Tags are looked for there, never inside numbers."""


def _dlib_layers(data: bytes) -> Iterator[DlibLayer]:
    position = 0
    while True:
        found = [
            (at, kind)
            for kind, tag in _DLIB_TAGS.items()
            if (at := data.find(tag, position, position + _DLIB_GAP)) >= 0
        ]
        if not found:
            return
        at, kind = min(found)
        position = at + len(_DLIB_TAGS[kind])
        skipped = 2 if kind == "fc_2" else 0  # numbers of outputs and inputs stand before
        header = []
        for _ in range(skipped + 5):
            value, position = _dlib_integer(data, position)
            header.append(value)
        version, *dimensions = header[skipped:]
        count = math.prod(dimensions)
        if version != 2 or count <= 0 or position + 4 * count > len(data):
            _refuse("unknown version, or cut short")
        yield DlibLayer(kind, np.frombuffer(data, "<f4", count, position))
        position += 4 * count


def _dlib_integer(data: bytes, position: int) -> tuple[int, int]:
    """dlib's variable-length integer: sign and number of bytes, then the bytes, little-endian."""
    if position >= len(data):
        _refuse("cut short")
    width = data[position] & 0x7F
    end = position + 1 + width
    if width > 8 or end > len(data) or data[position] & 0x80:
        _refuse("malformed integer")
    return int.from_bytes(data[position + 1 : end], "little"), end


def _refuse(reason: str) -> NoReturn:
    raise CheckpointError(reason)
