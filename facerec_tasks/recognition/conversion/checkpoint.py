"""Reads weights and galleries saved with ``torch.save``, without executing any of it.

A file of ``torch.save`` holds a pickle, and a pickle is a program: :mod:`.unpickler` interprets the
few instructions of it that describe data and refuses every other. Arrays are read-only views on the
storage in the file, so a tensor costs no more memory than the bytes it came with, whatever its
header claims.

Format: ``torch/serialization.py`` (zip since 1.6, before that pickles one after another).
"""

import io
import pickletools
import struct
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.conversion.errors import CheckpointError, refuse
from facerec_tasks.recognition.conversion.unpickler import (
    MAX_PICKLE_BYTES,
    RestrictedUnpickler,
    TensorReader,
    TensorStorage,
    no_storage,
)

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First pickle of a file ``torch.save`` wrote before 1.6."""


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
        refuse("two entries of one name")
    roots = [name for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        refuse("no single data.pkl in the archive")
    prefix = roots[0].removesuffix("data.pkl")
    order = f"{prefix}byteorder"
    if order in entries and _stored(data, entries[order]).tobytes() != b"little":
        refuse("big-endian numbers")

    def fetch(storage: TensorStorage) -> NDArray[Any]:
        return _stored(data, entries[f"{prefix}data/{storage.key}"])

    return RestrictedUnpickler(TensorReader(fetch)).run(_stored(data, entries[roots[0]]).tobytes())


def _stored(data: bytes, entry: zipfile.ZipInfo) -> NDArray[np.uint8]:
    """The bytes of an archive entry, in place. ``torch.save`` never compresses."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        refuse(f"compressed entry {entry.filename!r}")
    local = struct.Struct("<4s22xHH")  # local file header, PKWARE APPNOTE 4.3.7
    signature, name_length, extra_length = local.unpack_from(data, entry.header_offset)
    if signature != b"PK\x03\x04":
        refuse("broken archive")
    start = entry.header_offset + local.size + name_length + extra_length
    if start + entry.file_size > len(data):
        refuse("cut short")
    return np.frombuffer(data, np.uint8, entry.file_size, start)


def _read_legacy(data: bytes) -> Any:
    """Five pickles (magic, protocol, machine, object, storage keys), then the storages."""
    stream = io.BytesIO(data)
    pickles = [_next_pickle(stream) for _ in range(5)]
    plain = [RestrictedUnpickler(TensorReader(no_storage)).run(pickles[i]) for i in (1, 2, 4)]
    protocol, machine, keys = plain
    if protocol != 1001 or not machine.get("little_endian"):
        refuse("unknown protocol or byte order")
    # The object comes before its storages: a first pass learns which types and lengths they have.
    wanted: dict[str, TensorStorage] = {}
    RestrictedUnpickler(TensorReader(no_storage, wanted)).run(pickles[3])
    places = _legacy_places(data, stream.tell(), [wanted[key] for key in keys])
    return RestrictedUnpickler(TensorReader(lambda storage: places[storage.key])).run(pickles[3])


def _next_pickle(stream: io.BytesIO) -> bytes:
    start = stream.tell()
    for _opcode, _argument, _position in pickletools.genops(stream):
        if stream.tell() - start > MAX_PICKLE_BYTES:
            refuse("pickle too large")
    return stream.getbuffer()[start : stream.tell()].tobytes()


def _legacy_places(
    data: bytes, position: int, storages: list[TensorStorage]
) -> dict[str, NDArray[np.uint8]]:
    places = {}
    for storage in storages:
        (length,) = struct.unpack_from("<q", data, position)
        size = storage.length * storage.dtype.itemsize
        position += 8
        if length != storage.length or position + size > len(data):
            refuse("cut short")
        places[storage.key] = np.frombuffer(data, np.uint8, size, position)
        position += size
    return places
