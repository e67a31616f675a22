"""Every file is a picture, right way up, or one of the codes; none costs more than its share."""

import io
import pickle
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from facerec_tasks.recognition.images import decoding
from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from tests.unit.recognition.images.pictures import PHOTO, animation, deep_planar_tiff, encoded

RGB = np.asarray(PHOTO).astype(int)
GRAY = np.asarray(PHOTO.convert("L").convert("RGB")).astype(int)
ORIENTATION = 0x0112


Limit = Callable[..., None]


def code_of(data: bytes) -> RejectionCode:
    with pytest.raises(Rejected) as caught:
        decoding.decode(data)
    return caught.value.code


def off(data: bytes, expected: np.ndarray[Any, Any]) -> float:
    """Mean difference of the decoded picture."""
    picture = decoding.decode(data)
    assert picture.rgb.flags.c_contiguous
    assert picture.rgb.dtype == np.uint8
    assert (picture.width, picture.height) == (96, 80)
    return float(np.abs(picture.rgb.astype(int) - expected).mean())


pillow_heif.register_heif_opener()  # writes the tests' own files; the product only reads

KINDS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "HEIF", "AVIF"]


@pytest.mark.parametrize("kind", KINDS)
def test_reads_eight_formats(kind: str) -> None:
    assert off(encoded(PHOTO, kind), RGB) < 8


def test_reads_bigtiff() -> None:
    assert off(encoded(PHOTO, "TIFF", big_tiff=True), RGB) < 1


def test_heif_is_refused_where_its_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_reads_heif", lambda: False)
    assert code_of(encoded(PHOTO, "HEIF")) == RejectionCode.UNSUPPORTED_FORMAT


def lab() -> Image.Image:
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    converted = ImageCms.profileToProfile(PHOTO, *profiles, outputMode="LAB")
    assert converted is not None
    return converted


def deep(dtype: type, factor: float) -> Image.Image:
    return Image.fromarray((np.asarray(PHOTO.convert("L"), float) * factor).astype(dtype))


MODES: dict[str, tuple[Callable[[], Image.Image], str, np.ndarray[Any, Any]]] = {
    "CMYK": (lambda: PHOTO.convert("CMYK"), "TIFF", RGB),
    "CMYK JPEG": (lambda: PHOTO.convert("CMYK"), "JPEG", RGB),
    "LAB": (lab, "TIFF", RGB),
    "YCbCr": (lambda: PHOTO.convert("YCbCr"), "TIFF", RGB),
    "palette": (lambda: PHOTO.quantize(256), "PNG", RGB),
    "gray": (lambda: PHOTO.convert("L"), "PNG", GRAY),
    "gray with alpha": (lambda: PHOTO.convert("LA"), "PNG", GRAY),
    "16 bit": (lambda: deep(np.uint16, 257), "PNG", GRAY),
    "12 bit in 16": (lambda: deep(np.uint16, 16), "TIFF", GRAY),
    "32 bit": (lambda: deep(np.int32, 257), "TIFF", GRAY),
    "floating point": (lambda: deep(np.float32, 1 / 255), "TIFF", GRAY),
    "alpha": (lambda: PHOTO.convert("RGBA"), "WEBP", RGB),
}


@pytest.mark.parametrize("mode", MODES)
def test_reads_any_mode_and_depth(mode: str) -> None:
    make, kind, expected = MODES[mode]
    assert off(encoded(make(), kind), expected) < 8


def test_transparency_is_put_on_white() -> None:
    clear = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    for data in (encoded(clear, "PNG"), encoded(clear.quantize(), "PNG", transparency=0)):
        assert (decoding.decode(data).rgb == 255).all()


def test_takes_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ((255, 0, 0), (0, 255, 0))]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        red, green, _ = decoding.decode(data).rgb[10, 10]
        assert red > 200 > 50 > green, kind


INVERSE = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""For each EXIF orientation, how a camera that wrote it holds the upright picture."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", INVERSE)
def test_turns_pictures_upright(kind: str, orientation: int) -> None:
    turn = INVERSE[orientation]
    held = PHOTO if turn is None else PHOTO.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(held, kind, exif=exif.tobytes() if kind == "HEIF" else exif)
    assert off(data, RGB) < 8


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_ignores_an_orientation_that_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert decoding.decode(encoded(PHOTO, "PNG", exif=exif)).width == 96


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_shrinks_large_photos_and_says_by_how_much(kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    large = PHOTO.resize((3000, 2500))
    picture = decoding.decode(encoded(large.transpose(Image.Transpose.ROTATE_90), kind, exif=exif))
    assert (picture.width, picture.height) == (3000, 2500)
    assert picture.rgb.shape == (1067, 1280, 3)
    again = np.asarray(Image.fromarray(picture.rgb).resize(PHOTO.size)).astype(int)
    assert np.abs(again - RGB).mean() < 5


def test_a_thin_line_stays_a_picture() -> None:
    assert decoding.decode(encoded(Image.new("L", (60_000, 1)), "PNG")).rgb.shape == (1, 1280, 3)


# --- refusals -----------------------------------------------------------------------------------


def test_refuses_what_is_no_picture(limit: Limit) -> None:
    assert code_of(b"") == RejectionCode.EMPTY
    assert code_of(b"hello") == RejectionCode.NOT_A_PICTURE
    assert code_of(b"\0" * 100) == RejectionCode.NOT_A_PICTURE
    limit(max_bytes=100)
    assert code_of(b"x" * 101) == RejectionCode.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.7",
        encoded(PHOTO, "JPEG2000") if "JPEG2000" in Image.SAVE else b"\0\0\0\x0cjP  \r\n\x87\n",
        encoded(PHOTO, "ICO"),
    ],
)
def test_refuses_formats_it_does_not_know(data: bytes) -> None:
    assert code_of(data) == RejectionCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_refuses_a_fax(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(PHOTO.convert("1"), "TIFF", compression=compression))
    data[8:40] = bytes(32)  # libtiff would complain of every row
    assert code_of(bytes(data)) == RejectionCode.UNSUPPORTED_FORMAT
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_files_cut_short(kind: str) -> None:
    data = encoded(PHOTO, kind)
    if kind == "JPEG":  # the part that is there may be enough, see below
        data = data[: len(data) // 2]
    for length in (12, len(data) // 3, len(data) * 2 // 3):
        assert code_of(data[:length]) == RejectionCode.BROKEN_PICTURE, length


@pytest.mark.parametrize("missing", [2, 20, 200])
@pytest.mark.parametrize("progressive", [False, True])
def test_reads_a_jpeg_without_its_end(missing: int, progressive: bool) -> None:
    data = encoded(PHOTO, "JPEG", quality=95, progressive=progressive)[:-missing]
    assert off(data, RGB) < 8


def test_refuses_a_jpeg_of_which_half_is_missing() -> None:
    large = encoded(PHOTO.resize((960, 800)), "JPEG", quality=95)
    assert decoding.decode(large[: len(large) * 3 // 4]).width == 960
    assert code_of(large[: len(large) * 2 // 5]) == RejectionCode.BROKEN_PICTURE


# --- 16-bit TIFF --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_reads_16_bit_tiff_in_planes(order: str, compression: int) -> None:
    assert off(deep_planar_tiff(order, compression), RGB) < 1


def test_reads_16_bit_tiff_whose_white_is_zero() -> None:
    negative = Image.fromarray(65535 - np.asarray(PHOTO.convert("L"), np.uint16) * 257)
    data = encoded(negative, "TIFF", tiffinfo={262: 0})
    assert Image.open(io.BytesIO(data)).tag_v2[262] == 0  # type: ignore[attr-defined]
    assert off(data, GRAY) < 1


# --- a larger copy for the faces ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_detail_is_the_upright_picture_as_large_as_wanted(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    turn = INVERSE[orientation]
    large = PHOTO.resize((3000, 2500), Image.Resampling.BICUBIC)
    held = large if turn is None else large.transpose(Image.Transpose(turn))
    picture = decoding.decode(encoded(held, kind, exif=exif, quality=95))
    assert picture.detail(1280).size == (1280, 1067)
    for wanted in (1500, 3000, 9000):
        detail = picture.detail(wanted)
        assert min(wanted, 3000) <= detail.width <= 3000
        assert detail.mode == "RGB"
        again = np.asarray(detail.resize(PHOTO.size, Image.Resampling.BOX)).astype(int)
        assert np.abs(again - RGB).mean() < 5


def test_detail_keeps_to_its_limit(limit: Limit) -> None:
    data = encoded(PHOTO.resize((4000, 3200)), "JPEG")
    limit(max_detail_pixels=4_000_000)
    picture = decoding.decode(data)
    assert picture.detail(4000).size == (2000, 1600)


def test_reads_what_a_phone_of_200_megapixels_makes() -> None:
    data = bytearray(encoded(PHOTO, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 12_240, 16_320)
    picture = decoding.decode(bytes(data))
    assert (picture.width, picture.height) == (16_320, 12_240)
    assert picture.rgb.shape == (960, 1280, 3)


def test_a_picture_that_was_not_shrunk_is_its_own_detail() -> None:
    picture = decoding.decode(encoded(PHOTO, "PNG"))
    assert np.array_equal(np.asarray(picture.detail(5000)), picture.rgb)


def test_refuses_too_many_pixels_before_decoding_them() -> None:
    for width, height in ((60_000, 60_000), (20_000, 20_000), (7_000, 7_000)):
        assert code_of(_png_that_claims(width, height)) == RejectionCode.TOO_MANY_PIXELS


def _png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [256, 16_384, 40_000])
def test_refuses_a_tile_of_too_many_pixels(side: int) -> None:
    """The picture is small; its only tile is decoded all the same."""
    tags = [(256, 4, 100), (257, 4, 100), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    tile = zlib.compress(bytes(side * side if side < 1000 else 1000))
    tags += [(322, 4, side), (323, 4, side), (324, 4, 8), (325, 4, len(tile))]
    tile += bytes(len(tile) % 2)
    entries = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in tags)
    start = struct.pack("<LH", 8 + len(tile), len(tags))
    data = b"II*\0" + start[:4] + tile + start[4:] + entries + bytes(4)
    if side < 1000:
        assert decoding.decode(data).width == 100
    else:
        assert code_of(data) == RejectionCode.TOO_MANY_PIXELS


def _progressive(side: int, scans: int) -> bytes:
    """A JPEG whose last scan comes again and again."""
    data = encoded(Image.new("RGB", (side, side), (90, 100, 110)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    end = len(data) - 2
    return data[:end] + data[start:end] * scans + data[end:]


def test_refuses_a_jpeg_of_a_thousand_scans() -> None:
    assert code_of(_progressive(3000, 1000)) == RejectionCode.TOO_MANY_PIXELS
    assert decoding.decode(_progressive(300, 1000)).width == 300


def test_refuses_a_large_picture_whose_coefficients_are_all_kept(limit: Limit) -> None:
    """Progressive in a single scan, or one color of three in the first: a gigabyte at 13,000."""
    whole = encoded(PHOTO.resize((200, 200)), "JPEG")
    progressive = encoded(PHOTO.resize((200, 200)), "JPEG", progressive=True)
    first = progressive.index(b"\xff\xda")
    second = progressive.index(b"\xff\xda", first + 1)
    start = whole.index(b"\xff\xda")
    one_color = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 63, 0)
    held = (progressive[:second] + b"\xff\xd9", whole[:start] + one_color + whole[start:])
    assert [decoding.decode(data).width for data in held] == [200, 200]
    limit(max_scanned_pixels=199 * 199)
    assert decoding.decode(whole).width == 200
    assert [code_of(data) for data in held] == [RejectionCode.TOO_MANY_PIXELS] * 2


def test_a_thumbnail_in_the_metadata_is_no_scan(limit: Limit) -> None:
    data, thumbnail = (encoded(PHOTO.resize((side, side)), "JPEG") for side in (200, 8))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = data[:2] + segment + data[2:]
    assert data.count(b"\xff\xda") > 1
    limit(max_scanned_pixels=1)
    assert decoding.decode(data).width == 200


def test_a_run_of_fill_bytes_costs_no_time() -> None:
    started = time.process_time()
    decoding.decode(encoded(PHOTO, "JPEG")[:-2] + b"\xff" * (8 << 20))
    assert time.process_time() - started < 1


def test_a_rejection_survives_the_way_to_another_process() -> None:
    rejected = Rejected(RejectionCode.BROKEN_PICTURE, "cut")
    again = pickle.loads(pickle.dumps(rejected))
    assert (again.code, again.message, str(again)) == ("broken-picture", "cut", str(rejected))


# --- fuzzing ------------------------------------------------------------------------------------

SMALL = PHOTO.resize((24, 20))
SEEDS = [encoded(SMALL, kind) for kind in KINDS] + [
    deep_planar_tiff("<", 8),
    animation("GIF", 3),
    animation("TIFF", 3),
    animation("HEIF", 2),
    encoded(PHOTO, "HEIF", quality=40),
    encoded(PHOTO, "AVIF", quality=40),
    encoded(SMALL, "JPEG", progressive=True),
    encoded(SMALL, "TIFF", compression="tiff_lzw"),
    encoded(SMALL, "WEBP", lossless=True),
    encoded(SMALL.convert("RGBA"), "PNG"),
    encoded(SMALL.quantize(16), "GIF"),
]


def decodes_or_is_refused(data: bytes) -> None:
    try:
        picture = decoding.decode(data)
    except Rejected:
        return
    assert picture.rgb.shape[2] == 3
    assert max(picture.rgb.shape) <= 1280
    for frame in decoding.further_frames(data):
        assert max(frame.rgb.shape) <= 1280


CHANGES = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=12)


@given(st.sampled_from(SEEDS), CHANGES)
def test_damaged_files_decode_or_are_refused(seed: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(seed)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    decodes_or_is_refused(bytes(damaged))


@given(st.sampled_from([seed[:16] for seed in SEEDS]), st.binary(max_size=400))
def test_any_bytes_after_a_beginning_decode_or_are_refused(start: bytes, rest: bytes) -> None:
    decodes_or_is_refused(start + rest)
