"""Files of a million empty parts are refused at once; ordinary ones are not."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image

from benchmarks import portraits
from facerec_tasks.recognition.images import decode_cost, decoding, jpeg, orientation
from facerec_tasks.recognition.rejection import Rejected, RejectionCode

PHOTO = portraits.head("hopper", 40)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    PHOTO.save(file, kind)
    return file.getvalue()


def png_chunks(count: int) -> bytes:
    body = b"a\0b"
    chunk = struct.pack(">I", 3) + b"tEXt" + body + struct.pack(">I", zlib.crc32(b"tEXt" + body))
    data = encoded("PNG")
    return data[:33] + chunk * count + data[33:]


def gif_comments(count: int) -> bytes:
    data = encoded("GIF")
    size = 13 + (3 << (data[10] & 7) + 1)
    return data[:size] + b"!\xfe\x01a\0" * count + data[size:]


def jpeg_segments(count: int) -> bytes:
    data = encoded("JPEG")
    return data[:2] + b"\xff\xe5\x00\x03a" * count + data[2:]


def bmp_runs(count: int) -> bytes:
    file = io.BytesIO()
    PHOTO.quantize(256).save(file, "BMP")
    data = file.getvalue()
    return data[:30] + b"\1\0\0\0" + data[34:1078] + b"\1\5" * count


def tiff_numbers(count: int) -> bytes:
    """One tag of ``count`` numbers, wherever they may be."""
    entries = struct.pack("<HHLL", 273, 3, count, 8)
    return b"II*\0" + struct.pack("<LH", 8, 1) + entries + b"\0" * 4


def tiff_octets(count: int) -> bytes:
    """The places of strips as octets, which libtiff takes too."""
    entries = struct.pack("<HHLL", 273, 1, count, 8)
    return b"II*\0" + struct.pack("<LH", 8, 1) + entries + b"\0" * 4


def bigtiff_numbers(count: int) -> bytes:
    entries = struct.pack("<HHQQ", 273, 16, count, 8)
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 1) + entries + b"\0" * 8


def test_many_color_profiles_are_refused_at_once() -> None:
    body = b"a\0\0" + zlib.compress(bytes(1 << 20), 9)
    checksum = struct.pack(">I", zlib.crc32(b"iCCP" + body))
    profile = struct.pack(">I", len(body)) + b"iCCP" + body + checksum
    data = encoded("PNG")
    assert decoding.decode(data[:33] + profile + data[33:]).width == 40
    started = time.process_time()
    with pytest.raises(Rejected) as caught:
        decoding.decode(data[:33] + profile * 1000 + data[33:])
    assert caught.value.code == RejectionCode.TOO_MANY_PIXELS
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("make", [png_chunks, gif_comments, jpeg_segments])
def test_a_few_parts_more_do_no_harm(make: object) -> None:
    assert callable(make)
    assert decoding.decode(make(50)).width == 40


@pytest.mark.parametrize(
    "make",
    [
        png_chunks,
        gif_comments,
        jpeg_segments,
        bmp_runs,
        tiff_numbers,
        tiff_octets,
        bigtiff_numbers,
    ],
)
def test_a_million_parts_are_refused_at_once(make: object) -> None:
    assert callable(make)
    data = make(1_200_000)
    started = time.process_time()
    with pytest.raises(Rejected) as caught:
        decoding.decode(data)
    assert caught.value.code == RejectionCode.TOO_MANY_PIXELS
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "JPEG"])
def test_ordinary_and_cut_files_are_left_to_the_decoder(kind: str) -> None:
    data = encoded(kind)
    for length in range(0, len(data), 7):
        assert not decode_cost.excessive(kind, data[:length])
        assert jpeg.parse(data[:length]) is not None


def test_metadata_is_taken_off_a_jpeg_and_its_orientation_kept() -> None:
    tags = Image.Exif()
    tags[orientation.ORIENTATION] = 8
    file = io.BytesIO()
    PHOTO.save(file, "JPEG", exif=tags, comment=b"hello", icc_profile=b"x" * 100_000)
    parsed = jpeg.parse(file.getvalue())
    assert parsed
    assert orientation.of_exif(parsed.exif) == 8
    assert len(parsed.bare) < len(file.getvalue()) - 100_000
    assert Image.open(io.BytesIO(parsed.bare)).tobytes() == Image.open(file).tobytes()
