"""Which way up a camera was held: the one tag of EXIF that a face depends on.

Read here, and not by Pillow, whose reader unpacks every tag of a directory, of any size.
Format: TIFF 6.0, section 2; EXIF 2.32, table 4.
"""

import struct

ORIENTATION = 0x0112
SHORT = 3
MOST_ENTRIES = 1000


def orientation(tiff: bytes) -> int:
    """1 to 8; 1 when the directory says nothing we understand."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for index in range(min(count, MOST_ENTRIES)):
            entry = struct.unpack_from(f"{order}HHLH", tiff, start + 2 + index * 12)
            if entry[:3] == (ORIENTATION, SHORT, 1):
                return entry[3] if 1 <= entry[3] <= 8 else 1
    except struct.error:
        return 1  # cut short: damaged metadata do not make a photo unreadable
    return 1
