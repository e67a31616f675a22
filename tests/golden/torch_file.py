"""Writes what ``torch.save`` writes, without torch, and what it never would."""

import io
import math
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_HOOKS = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def numbers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(
    key: str,
    shape: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    length: int | None = None,
    offset: int = 0,
    kind: str = "FloatStorage",
    view: bytes = b"",
) -> bytes:
    """Instructions that make a tensor on storage ``key``; ``view`` as the old format has it."""
    if strides is None:
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    length = math.prod(shape) if length is None else length
    storage = text("storage") + b"ctorch\n%s\n" % kind.encode() + text(key) + text("cpu")
    storage = b"(" + storage + number(length) + view + b"tQ"
    arguments = storage + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + NO_HOOKS
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def listing(items: Sequence[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def mapping(items: Mapping[str, bytes]) -> bytes:
    return NO_HOOKS + b"(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


def program(content: bytes) -> bytes:
    return b"\x80\x02" + content + b"."


def zipped(
    content: bytes, storages: Sequence[bytes] = (), compression: int = zipfile.ZIP_STORED
) -> bytes:
    """The format since torch 1.6. Storage n has the key ``str(n)``."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program(content))
        archive.writestr("archive/byteorder", b"little")
        for key, storage in enumerate(storages):
            archive.writestr(f"archive/data/{key}", storage)
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def legacy(content: bytes, storages: Sequence[NDArray[Any]] = ()) -> bytes:
    """The format before torch 1.6: pickles one after another, then the storages."""
    machine = b"}(" + text("protocol_version") + number(1001) + text("little_endian") + b"\x88u"
    keys = listing([text(str(key)) for key in range(len(storages))])
    parts = [b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", number(1001), machine, content, keys]
    file = b"".join(program(part) for part in parts)
    for storage in storages:
        file += struct.pack("<q", storage.size) + storage.tobytes()
    return file


def state(arrays: Mapping[str, NDArray[np.float32]]) -> bytes:
    """``torch.save(module.state_dict())``."""
    tensors = {
        name: tensor(str(key), array.shape) for key, (name, array) in enumerate(arrays.items())
    }
    return zipped(mapping(tensors), [np.ascontiguousarray(a).tobytes() for a in arrays.values()])
