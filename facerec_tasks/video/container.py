"""Which container a file is, by its first bytes: FFmpeg is told, it never guesses.

FFmpeg's guessing would open playlists (HLS, DASH, concat), which make it read other files and
addresses. Pure, so that the web tier can judge an upload without a decoder.
"""

from dataclasses import dataclass

from facerec_tasks.recognition.images.sniff import AVIF_BRANDS, HEIF_BRANDS, RAW_BRANDS

NEEDED = 2048
"""Bytes of the beginning that :func:`sniff` wants to see."""


@dataclass(frozen=True)
class Container:
    """One container format."""

    demuxer: str
    """FFmpeg's name of its reader."""
    media_type: str


MP4 = Container("mov", "video/mp4")
QUICKTIME = Container("mov", "video/quicktime")
WEBM = Container("matroska", "video/webm")
MATROSKA = Container("matroska", "video/x-matroska")
AVI = Container("avi", "video/x-msvideo")
OGG = Container("ogg", "video/ogg")
FLV = Container("flv", "video/x-flv")
ASF = Container("asf", "video/x-ms-wmv")
MPEG_PS = Container("mpeg", "video/mpeg")
MPEG_TS = Container("mpegts", "video/mp2t")
GIF = Container("gif", "image/gif")

_BOXES = {b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
"""What QuickTime files of old begin with, before ``ftyp`` was invented."""
_PICTURES = HEIF_BRANDS | AVIF_BRANDS | RAW_BRANDS
"""Brands of still pictures in the same boxes as MP4."""
_TS_PACKETS = (188, 192)
"""Bytes of a packet of a transport stream; 192 on cameras and Blu-ray, 4 of them in front."""
_TS_SYNC = b"\x47"
_TS_MARKS = 5
"""Packets in a row that begin with a sync byte, of a recording that begins anywhere."""


def sniff(head: bytes) -> Container | None:
    """The container that begins with ``head``, at least :data:`NEEDED` bytes if it has them."""
    for magic, found in (
        (b"\x1a\x45\xdf\xa3", WEBM if b"webm" in head[:64] else MATROSKA),
        (b"OggS", OGG),
        (b"FLV\x01", FLV),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ASF),
        (b"\x00\x00\x01\xba", MPEG_PS),
        (b"GIF87a", GIF),
        (b"GIF89a", GIF),
    ):
        if head.startswith(magic):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return AVI
    return _iso_media(head) or _transport_stream(head)


def _iso_media(head: bytes) -> Container | None:
    kind, brand = head[4:8], head[8:12]
    if kind == b"ftyp" and brand not in _PICTURES:
        return QUICKTIME if brand == b"qt  " else MP4
    return QUICKTIME if kind in _BOXES else None


def _transport_stream(head: bytes) -> Container | None:
    """A recording may begin inside a packet: then the first whole one lies within its length."""
    for length in _TS_PACKETS:
        first = head.find(_TS_SYNC, 0, length)
        while first >= 0:  # few bytes of a photo are like that
            marks = head[first::length]
            if len(marks) >= _TS_MARKS and marks == _TS_SYNC * len(marks):
                return MPEG_TS
            if first == length - 188 and marks[:2] == 2 * _TS_SYNC:
                return MPEG_TS  # from its beginning on, two are enough
            first = head.find(_TS_SYNC, first + 1, length)
    return None
