"""Reads weights and galleries saved with ``torch.save``, without executing any of it.

A file of ``torch.save`` holds a pickle, and a pickle is a program: :mod:`.unpickler` interprets the
few instructions of it that describe data and refuses every other. Arrays are read-only views on the
storage in the file, so a tensor costs no more memory than the bytes it came with, whatever its
header claims.

Format: ``torch/serialization.py`` (zip since 1.6, before that pickles one after another).
"""

import io
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.conversion.errors import CheckpointError, refuse
from facerec_tasks.recognition.conversion.unpickler import RestrictedUnpickler, TensorStorage

MAX_PICKLE_BYTES = 64 * 1024 * 1024
"""The pickle holds names and shapes only: about 100 bytes a tensor."""
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
    *(struct.error, zipfile.BadZipFile, NotImplementedError, pickle.UnpicklingError),
)
"""How pickle, struct, zipfile and wrong types on the stack report malformed bytes."""


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

    if entries[roots[0]].file_size > MAX_PICKLE_BYTES:
        refuse("pickle too large")
    program = io.BytesIO(_stored(data, entries[roots[0]]).tobytes())
    return RestrictedUnpickler(program, fetch).load()


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
    stream, wanted = io.BytesIO(data[:MAX_PICKLE_BYTES]), dict[str, TensorStorage]()

    def note(storage: TensorStorage) -> None:
        if wanted.setdefault(storage.key, storage) != storage:
            refuse("one storage of two types")

    _magic, protocol, machine = (RestrictedUnpickler(stream, note).load() for _ in range(3))
    if protocol != 1001 or not machine.get("little_endian"):
        refuse("unknown protocol or byte order")
    # The object comes before its storages: a first pass learns which types and lengths they have.
    start = stream.tell()
    RestrictedUnpickler(stream, note).load()
    keys = RestrictedUnpickler(stream, note).load()
    places = _legacy_places(data, stream.tell(), [wanted[key] for key in keys])
    stream.seek(start)
    return RestrictedUnpickler(stream, lambda storage: places[storage.key]).load()


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
