"""JPEG before it is decoded: its picture without metadata, and what its scans would cost.

Pillow walks the metadata in Python, and a file can hold millions of them; the decoder goes over
all pixels once a scan. Format: ITU-T T.81, annex B.
"""

import re
from dataclasses import dataclass

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_APP1 = 0xE1
_DROPPED = {_COM, *range(0xE1, 0xEE), 0xEF}
"""Comments and metadata; APP0 (JFIF) and APP14 (Adobe) say what the colors mean."""
_BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length: TEM, RST0 to RST7, SOI."""
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""The next marker; inside a scan, 0xff is data when zero or a restart follows."""
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_END = b"\xff\xd9"

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15; the three between them are tables."""
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}

MOST_SEGMENTS = 10_000
"""A photo has some dozens."""


@dataclass(frozen=True)
class Jpeg:
    """The parts of a JPEG that matter here."""

    bare: bytes
    """The picture without its metadata."""
    exif: bytes
    """The TIFF structure of its EXIF segment; empty if there is none."""
    xmp: bytes = b""
    """Its XMP packet; empty if there is none."""

    @property
    def is_complete(self) -> bool:
        """Whether the picture's end marker is there: inside a scan those two bytes cannot be."""
        start = self.bare.rfind(b"\xff\xda")
        return self.bare.find(_END, max(start, 0)) >= 0

    @property
    def completed(self) -> bytes:
        """The picture with an end marker, so that a decoder gives what was there before the cut."""
        return self.bare if self.is_complete else self.bare + _END


def parse(data: bytes) -> Jpeg | None:
    """Takes the metadata off; ``None`` when there are more than :data:`MOST_SEGMENTS` of them.

    What is no JPEG comes back as it is, for the decoder to refuse.
    """
    keep, exif, xmp, position = [data[:2]], b"", b"", 2
    for _ in range(MOST_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            return Jpeg(b"".join(keep), exif, xmp)
        start, kind, position = marker.start(), marker[1][0], marker.end()
        if kind in (_SOS, _EOI):
            return Jpeg(b"".join([*keep, data[start:]]), exif, xmp)
        if kind in _BARE:
            continue
        body = position + 2
        position = max(body, position + int.from_bytes(data[position:body]))
        if kind not in _DROPPED:
            keep.append(data[start:position])
        elif kind == _APP1 and not exif and data.startswith(_EXIF, body):
            exif = data[body + len(_EXIF) : position]
        elif kind == _APP1 and not xmp and data.startswith(_XMP, body):
            xmp = data[body + len(_XMP) : position]
    return None


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
        if kind == _EOI:
            return found
        if kind not in _BARE:
            position += int.from_bytes(data[position : position + 2])
        found += kind == _SOS
    return MOST_SEGMENTS


def is_held(data: bytes) -> bool:
    """Whether the decoder keeps the coefficients of the whole picture until the last scan.

    So does libjpeg (``jdinput.c``, ``has_multiple_scans``) for progressive pictures and for those
    whose first scan has not all their colors, however many scans there are.
    """
    position, colors = 2, 0
    for _ in range(MOST_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            return False
        kind, position = marker[1][0], marker.end()
        body = data[position : position + 8]
        if kind in _PROGRESSIVE:
            return True
        if kind in _FRAMES and len(body) == 8:
            colors = body[7]
        elif kind == _SOS and len(body) > 2:
            return body[2] < colors
        if kind not in _BARE:
            position += int.from_bytes(body[:2])
    return True
