"""Which way up a camera was held, by the metadata: the one tag that faces depend on.

Read here, and not by Pillow, whose reader unpacks every tag of a directory, of any size. Formats:
TIFF 6.0, section 2; EXIF 2.32, table 4; XMP, part 2, section 3.3 (``tiff:Orientation``).
"""

import re
import struct

from PIL import Image

ORIENTATION = 0x0112
TYPES = {3: "H", 4: "L"}
"""SHORT, as the standard has it, and LONG, as some programs write it."""
MOST_ENTRIES = 1000
MOST_XMP = 1 << 18
"""Bytes of an XMP packet that are searched."""
_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])\s*[\"'<]")

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of this orientation upright."""


def of_metadata(exif: bytes, xmp: bytes) -> int:
    """1 to 8, by EXIF (a TIFF structure) or else by XMP; 1 when neither says anything valid."""
    return of_exif(exif) or of_xmp(xmp) or 1


def of_exif(tiff: bytes) -> int | None:
    """1 to 8; ``None`` when the directory has no valid orientation."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for index in range(min(count, MOST_ENTRIES)):
            entry = start + 2 + index * 12
            tag, kind, values = struct.unpack_from(f"{order}HHL", tiff, entry)
            if tag == ORIENTATION and kind in TYPES and values == 1:
                (value,) = struct.unpack_from(f"{order}{TYPES[kind]}", tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else None
    except struct.error:
        return None  # cut short: damaged metadata do not make a photo unreadable
    return None


def of_xmp(packet: bytes) -> int | None:
    """1 to 8; ``None`` when the packet says nothing."""
    found = _XMP.search(packet[:MOST_XMP])
    return int(found[1]) if found else None
