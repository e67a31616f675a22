"""Files whose structure would cost a decoder more than their picture: counted before it begins.

Pillow walks the parts before the pixels in Python, one microsecond and some bytes each: a file of
millions of empty comments takes seconds and hundreds of megabytes. Photos have a few dozen parts.
JPEG has a module of its own (:mod:`jpeg`).
"""

import struct
from collections.abc import Callable, Iterator
from typing import Literal

MOST_PARTS = 20_000
"""Chunks of a PNG, blocks of a GIF before its first picture."""
MOST_FRAMES = 1000
MOST_FRAME_PARTS = 200_000
"""Blocks of a GIF, the data of its frames included, that are walked to reach a frame."""
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


def frames(kind: str, data: bytes) -> int:
    """An upper limit of the frames within reach of a walk through as many parts as photos have.

    Of formats whose frames are found without such a walk, :data:`MOST_FRAMES`.
    """
    count = {"GIF": _gif_frames, "TIFF": _tiff_frames}.get(kind)
    return count(data) if count else MOST_FRAMES


def _gif_frames(data: bytes) -> int:
    found = 0
    for block in _gif_blocks(data, MOST_FRAME_PARTS):
        found += block == _GIF_PICTURE
        if found == MOST_FRAMES:
            break
    return max(1, found)


def _tiff_frames(data: bytes) -> int:
    found, numbers = 0, 0
    try:
        for more, _ in _directories(data):
            numbers += more
            if numbers > MOST_NUMBERS or found == MOST_FRAMES:
                break
            found += 1
    except (struct.error, OverflowError):
        pass  # what is behind the cut is not there
    return max(1, found)


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


_GIF_EXTENSION, _GIF_PICTURE, _GIF_END = 0x21, 0x2C, 0x3B


def _gif(data: bytes) -> bool:
    """Whether there are too many blocks before the first picture."""
    blocks = 0
    for block in _gif_blocks(data, MOST_PARTS):
        if block == _GIF_PICTURE:
            return False
        blocks += 1
    return blocks == MOST_PARTS


def _gif_blocks(data: bytes, most: int) -> Iterator[int]:
    """What each block is, sub-blocks of data included (as -1), up to ``most`` of them.

    https://www.w3.org/Graphics/GIF/spec-gif89a.txt
    """
    flags = data[10] if len(data) > 10 else 0
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    inside = False
    for _ in range(most):
        if position >= len(data):
            return
        size = data[position]
        if inside:
            position += 1 + size
            inside = size > 0
            yield -1
        elif size == _GIF_END:
            return
        elif size == _GIF_PICTURE:
            local = data[position + 9] if position + 9 < len(data) else 0
            position += 11 + (3 << (local & 7) + 1 if local & 0x80 else 0)
            inside = True
            yield size
        else:
            inside = size == _GIF_EXTENSION
            position += 2 if inside else 1
            yield size


def _bmp(data: bytes) -> bool:
    """Compression is 1 or 2 for runs of 8 or 4 bit pixels (BITMAPINFOHEADER, ``biCompression``)."""
    return data[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(data) > MOST_RUN_BYTES


def _tiff(data: bytes) -> bool:
    """TIFF 6.0, section 2, and BigTIFF: counts of the first directory's numbers."""
    try:
        numbers, _ = next(_directories(data))
    except (struct.error, OverflowError):
        return False  # cut short: the decoder says so
    return numbers > MOST_NUMBERS


def _directories(data: bytes) -> Iterator[tuple[int, int]]:
    """For each directory of a TIFF the numbers in its tags, and where the next begins.

    More than :data:`MOST_PARTS` tags count as more than :data:`MOST_NUMBERS` numbers.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    place = f"{order}Q" if big else f"{order}L"
    size = f"{order}Q" if big else f"{order}H"
    entry = f"{order}HHQ8x" if big else f"{order}HHL4x"
    step = struct.calcsize(entry)
    (start,) = struct.unpack_from(place, data, 8 if big else 4)
    while start:
        (count,) = struct.unpack_from(size, data, start)
        first = start + struct.calcsize(size)
        numbers = MOST_NUMBERS + 1 if count > MOST_PARTS else 0
        for index in range(min(count, MOST_PARTS)):
            tag, kind, values = struct.unpack_from(entry, data, first + index * step)
            numbers += values if kind not in _OCTETS or tag in _PLACES else 0
        after = first + count * step
        start = int.from_bytes(data[after : after + struct.calcsize(place)], _BYTE_ORDER[order])
        yield numbers, start


_BYTE_ORDER: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
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
