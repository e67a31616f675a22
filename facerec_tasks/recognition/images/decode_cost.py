"""Files whose structure would cost a decoder more than their picture: counted before it begins.

Pillow walks the parts before the pixels in Python, one microsecond and some bytes each: a file of
millions of empty comments takes seconds and hundreds of megabytes. Photos have a few dozen parts.
JPEG has a module of its own (:mod:`jpeg`).
"""

import struct
from collections.abc import Callable

MOST_PARTS = 20_000
"""Chunks of a PNG, blocks of a GIF before its first picture."""
MOST_PROFILES = 10
"""Color profiles of a PNG. One is allowed; Pillow inflates each that is there, to a megabyte from
a thousandth of it, and 17,000 took 35 s."""
MOST_NUMBERS = 200_000
"""Numbers in the tags of a TIFF: where its strips lie takes the most. A strip of JPEG costs libtiff
14 microseconds, however small it is."""
MOST_RUN_BYTES = 2 * 1024 * 1024
"""Of a run-length encoded BMP, which Pillow decodes in Python."""


def excessive(kind: str, data: bytes) -> bool:
    """Whether ``data``, of the format ``kind``, has more parts than any photo."""
    check = _CHECKS.get(kind)
    return check is not None and check(data)


def _png(data: bytes) -> bool:
    """https://www.w3.org/TR/png-3/#5Chunk-layout"""
    position, profiles = 8, 0
    for _ in range(MOST_PARTS):
        if position + 8 > len(data):
            return False
        profiles += data[position + 4 : position + 8] == b"iCCP"
        if profiles > MOST_PROFILES:
            return True
        position += 12 + int.from_bytes(data[position : position + 4])
    return True


def _gif(data: bytes) -> bool:
    """https://www.w3.org/Graphics/GIF/spec-gif89a.txt"""
    extension, picture, end = 0x21, 0x2C, 0x3B
    flags = data[10] if len(data) > 10 else 0
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    inside = False
    for _ in range(MOST_PARTS):
        if position >= len(data):
            return False
        size = data[position]
        if inside:
            position += 1 + size
            inside = size > 0
        elif size in (picture, end):
            return False
        else:
            inside = size == extension
            position += 2 if inside else 1
    return True


def _bmp(data: bytes) -> bool:
    """Compression is 1 or 2 for runs of 8 or 4 bit pixels (BITMAPINFOHEADER, ``biCompression``)."""
    return data[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(data) > MOST_RUN_BYTES


def _tiff(data: bytes) -> bool:
    """TIFF 6.0, section 2, and BigTIFF: counts of the first directory's numbers."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    head, size, entry = (
        (f"{order}Q", f"{order}Q", f"{order}HHQ8x")
        if big
        else (f"{order}L", f"{order}H", f"{order}HHL4x")
    )
    try:
        (start,) = struct.unpack_from(head, data, 8 if big else 4)
        (count,) = struct.unpack_from(size, data, start)
        first = start + struct.calcsize(size)
        if count > MOST_PARTS:
            return True
        step = struct.calcsize(entry)
        numbers = 0
        for index in range(count):
            tag, kind, values = struct.unpack_from(entry, data, first + index * step)
            numbers += values if kind not in _OCTETS or tag in _PLACES else 0
    except (struct.error, OverflowError):
        return False  # cut short: the decoder says so
    return numbers > MOST_NUMBERS


_OCTETS = {1, 2, 7}
"""TIFF types that Pillow keeps as bytes: BYTE, ASCII, UNDEFINED."""
_PLACES = {273, 279, 324, 325}
"""Where strips and tiles lie and how long they are: libtiff takes octets for that as well."""

_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
}
