"""Picture formats by their first bytes, for web tier, engine and CLI alike."""

import pytest

from facerec_tasks.recognition.images.sniff import FORMATS, READABLE, sniff
from facerec_tasks.video import container


def iso_media(*brands: bytes) -> bytes:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return (len(body) + 4).to_bytes(4) + body + bytes(8)


@pytest.mark.parametrize(
    ("begin", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
        (b"BM", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"II+\0", "image/tiff"),
        (b"MM\0+", "image/tiff"),
        (iso_media(b"heic", b"mif1"), "image/heic"),
        (iso_media(b"mif1", b"heic"), "image/heic"),
        (iso_media(b"mif1"), "image/heic"),
        (iso_media(b"avif", b"mif1"), "image/avif"),
        (iso_media(b"mif1", b"miaf", b"avif"), "image/avif"),
    ],
)
def test_format_that_is_read(begin: bytes, media_type: str) -> None:
    found = sniff(begin)
    assert found is not None
    assert found.is_read
    assert found.media_type == media_type
    assert found in FORMATS


@pytest.mark.parametrize(
    "begin",
    [b"%!PS-Adobe", b"%PDF-1.7", b"<svg", b"\xff\x0a", b"\0\0\0\x0cjP  \r\n", iso_media(b"crx ")],
)
def test_format_that_is_known_and_not_read(begin: bytes) -> None:
    found = sniff(begin)
    assert found is not None
    assert not found.is_read


@pytest.mark.parametrize(
    "begin", [b"", b"hello", b"RIFF\0\0\0\0WAVE", iso_media(b"isom", b"mp42"), b"\0\0\0\x18ftyp"]
)
def test_what_is_no_picture(begin: bytes) -> None:
    assert sniff(begin) is None


def test_a_file_is_a_picture_or_a_video_and_never_both() -> None:
    for brand in (b"heic", b"avif", b"mif1", b"crx "):
        assert container.sniff(iso_media(brand)) is None
    assert container.sniff(iso_media(b"isom")) is not None


def test_every_format_that_is_read_is_named_to_people() -> None:
    names = {known.name.replace("HEIF", "HEIC").upper() for known in FORMATS}
    assert names == set(READABLE.upper().replace(" AND", ",").replace(" ", "").split(","))
