"""Which way up a photo is, by EXIF and XMP."""

import struct

import pytest

from facerec_tasks.recognition.images.orientation import (
    MOST_XMP,
    ORIENTATION,
    of_exif,
    of_metadata,
    of_xmp,
)

SHORT, LONG, RATIONAL = 3, 4, 5


def directory(order: str, tag: int, kind: int, count: int, value: int) -> bytes:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    other = struct.pack(f"{order}HHLHH", 0x010F, SHORT, 1, 7, 0)
    values = struct.pack(
        f"{order}L" if kind == LONG else f"{order}HH", *([value] if kind == LONG else [value, 0])
    )
    return (
        magic
        + struct.pack(f"{order}LH", 8, 2)
        + other
        + struct.pack(f"{order}HHL", tag, kind, count)
        + values
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation(order: str) -> None:
    assert of_exif(directory(order, ORIENTATION, SHORT, 1, 6)) == 6
    assert of_exif(directory(order, ORIENTATION, LONG, 1, 6)) == 6
    assert of_exif(directory(order, ORIENTATION, SHORT, 1, 9)) is None
    assert of_exif(directory(order, ORIENTATION, LONG, 1, 2**32 - 1)) is None
    assert of_exif(directory(order, ORIENTATION, SHORT, 2**32 - 1, 6)) is None
    assert of_exif(directory(order, ORIENTATION, RATIONAL, 1, 6)) is None
    assert of_exif(directory(order, 0x0113, SHORT, 1, 6)) is None
    whole = directory(order, ORIENTATION, SHORT, 1, 6)
    assert all(of_exif(whole[:length]) is None for length in range(len(whole) - 2))


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b'<rdf:Description tiff:Orientation="6"/>', 6),
        (b"<rdf:Description tiff:Orientation = '3'>", 3),
        (b"<tiff:Orientation>8</tiff:Orientation>", 8),
        (b'<rdf:Description tiff:Orientation="9"/>', None),
        (b'<rdf:Description tiff:Orientation="61"/>', None),
        (b'<rdf:Description exif:PixelXDimension="6"/>', None),
        (b" " * MOST_XMP + b'tiff:Orientation="6"', None),
        (b"", None),
    ],
)
def test_xmp_orientation(packet: bytes, expected: int | None) -> None:
    assert of_xmp(packet) == expected


def test_exif_wins_over_xmp_and_neither_means_upright() -> None:
    exif, xmp = directory("<", ORIENTATION, SHORT, 1, 6), b'tiff:Orientation="3"'
    assert of_metadata(exif, xmp) == 6
    assert of_metadata(b"", xmp) == 3
    assert of_metadata(b"", b"") == 1
