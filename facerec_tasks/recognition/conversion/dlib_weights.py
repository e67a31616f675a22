"""Reads the weights of a serialized dlib network.

Format: dlib's ``dlib/serialize.h`` and ``dlib/dnn``.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.conversion.errors import refuse


@dataclass(frozen=True, eq=False)
class DlibLayer:
    """One layer with learned numbers: ``con_4``, ``affine_`` or ``fc_2``, and these, flat."""

    kind: str
    parameters: NDArray[np.float32]


def read_dlib(data: bytes) -> list[DlibLayer]:
    """The layers with parameters of a serialized dlib network, outermost input first.

    dlib writes each layer as its tag (a text with its length) and then its parameters (version,
    four dimensions, little-endian floats). Raises :class:`CheckpointError`.
    """
    layers = list(_dlib_layers(data))
    if not layers:
        refuse("no layer of a dlib network in it")
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
            refuse("unknown version, or cut short")
        yield DlibLayer(kind, np.frombuffer(data, "<f4", count, position))
        position += 4 * count


def _dlib_integer(data: bytes, position: int) -> tuple[int, int]:
    """dlib's variable-length integer: sign and number of bytes, then the bytes, little-endian."""
    if position >= len(data):
        refuse("cut short")
    width = data[position] & 0x7F
    end = position + 1 + width
    if width > 8 or end > len(data) or data[position] & 0x80:
        refuse("malformed integer")
    return int.from_bytes(data[position + 1 : end], "little"), end
