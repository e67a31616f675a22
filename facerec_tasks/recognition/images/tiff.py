"""16-bit TIFF as Pillow does not read it: colors in separate planes, and white as zero.

A picture whose samples lie in planes is opened as one gray picture a plane: the file's own bytes
with another directory at their end, so that decompression stays libtiff's. Format: TIFF 6.0,
sections 2 and 8.
"""

import struct

MOST_ENTRIES = 200
WIDTH, LENGTH, BITS, PHOTOMETRIC = 256, 257, 258, 262
STRIPS, SAMPLES, STRIP_BYTES, PLANAR = 273, 277, 279, 284
TILES, TILE_BYTES, EXTRA, FORMAT = 324, 325, 338, 339
MIN_IS_WHITE, MIN_IS_BLACK, SEPARATE = 0, 1, 2
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_NUMBERS = {1: "B", 3: "H", 4: "L"}

Entries = dict[int, tuple[int, int, bytes]]
"""Tag -> type, count and the values' bytes."""


def deep_planes(data: bytes) -> list[bytes] | None:
    """A gray 16-bit TIFF for each of red, green and blue; ``None`` for any other picture."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    try:
        entries = _directory(data, order)
        if not _is_deep_and_planar(entries, order):
            return None
        return [_plane(data, entries, order, plane) for plane in range(3)]
    except (struct.error, KeyError, ValueError, IndexError):
        return None  # the decoder says what is wrong


def _directory(data: bytes, order: str) -> Entries:
    (start,) = struct.unpack_from(f"{order}L", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    entries: Entries = {}
    for index in range(min(count, MOST_ENTRIES)):
        at = start + 2 + 12 * index
        tag, kind, values = struct.unpack_from(f"{order}HHL", data, at)
        size = _SIZES.get(kind, 1) * values
        if size > 4:
            (at,) = struct.unpack_from(f"{order}L", data, at + 8)
        else:
            at += 8
        if at + size > len(data):
            raise ValueError("values beyond the end")
        entries[tag] = (kind, values, data[at : at + size])
    return entries


def _values(entries: Entries, tag: int, order: str) -> tuple[int, ...]:
    kind, count, raw = entries[tag]
    return struct.unpack(f"{order}{count}{_NUMBERS[kind]}", raw)


def _is_deep_and_planar(entries: Entries, order: str) -> bool:
    if PLANAR not in entries or _values(entries, PLANAR, order) != (SEPARATE,):
        return False
    samples = _values(entries, SAMPLES, order)[0]
    return samples in (3, 4) and set(_values(entries, BITS, order)) == {16}


def _plane(data: bytes, entries: Entries, order: str, plane: int) -> bytes:
    samples = _values(entries, SAMPLES, order)[0]
    kept = {tag: entry for tag, entry in entries.items() if tag not in (EXTRA, FORMAT, PLANAR)}
    short = f"{order}H"
    kept[BITS] = (3, 1, struct.pack(short, 16))
    kept[SAMPLES] = (3, 1, struct.pack(short, 1))
    kept[PHOTOMETRIC] = (3, 1, struct.pack(short, MIN_IS_BLACK))
    for tag in (STRIPS, STRIP_BYTES, TILES, TILE_BYTES):
        if tag in entries:
            kind, count, raw = entries[tag]
            each, size = count // samples, _SIZES[kind]
            part = raw[plane * each * size : (plane + 1) * each * size]
            kept[tag] = (kind, each, part)
    return _with_directory(data, kept, order)


def _with_directory(data: bytes, entries: Entries, order: str) -> bytes:
    """``data`` with another first directory, which lies behind everything else."""
    body = data + bytes(len(data) % 2)
    start = len(body)
    values_at = start + 2 + 12 * len(entries) + 4
    table, values = struct.pack(f"{order}H", len(entries)), b""
    for tag, (kind, count, raw) in sorted(entries.items()):
        if len(raw) <= 4:
            place = raw.ljust(4, b"\0")
        else:
            place = struct.pack(f"{order}L", values_at + len(values))
            values += raw + bytes(len(raw) % 2)
        table += struct.pack(f"{order}HHL", tag, kind, count) + place
    return body[:4] + struct.pack(f"{order}L", start) + body[8:] + table + bytes(4) + values
