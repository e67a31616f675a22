"""Pages of a document and frames of an animation, beyond the first."""

import struct
import time
from collections.abc import Callable

import pillow_heif
import pytest
from PIL import Image

from facerec_tasks.recognition.images import decoding
from tests.unit.recognition.images.pictures import PHOTO, animation, encoded

pillow_heif.register_heif_opener()  # writes the tests' own files; the product only reads

SEVERAL = ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"]


@pytest.mark.parametrize("kind", SEVERAL)
def test_further_frames(kind: str) -> None:
    found = list(decoding.further_frames(animation(kind, 12)))
    pages = [*range(1, 11)] if kind in ("TIFF", "HEIF") else [1, 2, 4, 8]
    assert [picture.frame for picture in found] == pages
    for picture in found:
        assert int(picture.rgb[16, 16, 1]) == pytest.approx(10 * picture.frame, abs=8)


@pytest.mark.parametrize("kind", SEVERAL)
def test_further_frames_keep_to_their_limits(kind: str, limit: Callable[..., None]) -> None:
    data = animation(kind, 6)
    limit(max_frames=2)
    assert len(list(decoding.further_frames(data))) == 2
    limit(max_frame_pixels=1000)
    assert list(decoding.further_frames(data)) == []


def test_a_single_picture_has_no_further_frames() -> None:
    for kind in ("JPEG", "BMP", *SEVERAL):
        assert list(decoding.further_frames(encoded(PHOTO, kind))) == []


def test_a_damaged_page_ends_the_further_frames() -> None:
    data = bytearray(animation("TIFF", 4))
    for start in (len(data) // 3, len(data) // 2):
        data[start : start + 40] = bytes(40)
    assert len(list(decoding.further_frames(bytes(data)))) < 4


def test_millions_of_parts_between_frames_cost_no_time() -> None:
    first, second = (Image.new("P", (8, 8)), Image.new("P", (8, 8), 3))
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    padded = data[:-1] + b"!\xfe" + b"\x01a" * 3_000_000 + b"\0;"
    started = time.process_time()
    list(decoding.further_frames(padded))
    directories = animation("TIFF", 3)
    circle = bytearray(directories)
    (start,) = struct.unpack_from("<L", circle, 4)
    (count,) = struct.unpack_from("<H", circle, start)
    struct.pack_into("<L", circle, start + 2 + 12 * count, start)
    assert len(list(decoding.further_frames(bytes(circle)))) <= 10
    assert time.process_time() - started < 2
