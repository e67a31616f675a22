"""How often a JPEG makes its decoder go over all pixels. Format: ITU-T T.81, annex B."""

import re

_SCAN, _END = 0xDA, 0xD9
_BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length: TEM, RST0 to RST7, SOI."""
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""The next marker; inside a scan, 0xff is data when zero or a restart follows."""

MOST_SEGMENTS = 10_000


def scans(data: bytes) -> int:
    """Scans of the first picture in ``data``; thumbnails in its metadata do not count.

    A file of more than :data:`MOST_SEGMENTS` segments counts as that many scans: it is no photo.
    """
    found, position = 0, 2
    for _ in range(MOST_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            return found
        kind, position = marker[1][0], marker.end()
        if kind == _END:
            return found
        if kind not in _BARE:
            position += int.from_bytes(data[position : position + 2])
        found += kind == _SCAN
    return MOST_SEGMENTS
