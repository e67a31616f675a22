"""Untrusted bytes to an upright RGB picture, or a reason why not.

Eight formats, any mode and depth. Orientation is applied, transparency put on white, and a large
photo is shrunk while it is decoded, so that neither memory nor time grows with what a sender
claims.
"""

import functools
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from PIL import AvifImagePlugin, Image

from facerec_tasks.recognition.images import (
    color,
    decode_cost,
    jpeg,
    orientation,
    sniff,
    tiff,
)
from facerec_tasks.recognition.images.limits import LIMITS
from facerec_tasks.recognition.images.picture import Picture
from facerec_tasks.recognition.rejection import Rejected, RejectionCode

# Pillow refuses twice this by itself; what is allowed is decided here, before anything is loaded.
Image.MAX_IMAGE_PIXELS = LIMITS.max_jpeg_pixels
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the machine's processors are the other workers'

CONVERTED_SIDE = 2560
"""Pixels of the longer side of a large picture that is converted to RGB."""
MIN_OF_CUT_JPEG = 0.5
"""Share of the rows of a JPEG without its end that must be there."""

T = TypeVar("T")


def decode(data: bytes) -> Picture:
    """The picture in ``data``, of several the first. Raises :class:`Rejected`, and nothing else."""
    kind = _check_bytes(data)
    return _guarded(lambda: _decode(kind, data))


def further_frames(data: bytes) -> Iterator[Picture]:
    """Pages of a document, or frames of an animation, after the first: a few, in their order.

    ``data`` was decoded before. Ends at the first that cannot be decoded.
    """
    kind = _check_bytes(data)
    if kind not in _SEVERAL:
        return
    frames = _frames(kind, data)
    while True:
        try:
            picture = _guarded(lambda: next(frames, None))
        except Rejected:
            return
        if picture is None:
            return
        yield picture


def _guarded(work: Callable[[], T]) -> T:
    """Damaged files make decoders raise anything: it becomes a :class:`Rejected`."""
    try:
        # Pillow warns of what is decided here: many pixels, odd metadata.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    except Rejected:
        raise
    except Image.DecompressionBombError as error:
        raise Rejected(RejectionCode.TOO_MANY_PIXELS, "The picture has too many pixels.") from error
    except Exception as error:
        raise Rejected(
            RejectionCode.BROKEN_PICTURE, "The picture is damaged, cut short or of an unusual kind."
        ) from error


def _check_bytes(data: bytes) -> str:
    """The format's name in Pillow."""
    if not data:
        raise Rejected(RejectionCode.EMPTY, "The file is empty.")
    if len(data) > LIMITS.max_bytes:
        raise Rejected(RejectionCode.TOO_LARGE, f"The file has more than {LIMITS.max_bytes} bytes.")
    found = sniff.sniff(data)
    if found is None:
        raise Rejected(RejectionCode.NOT_A_PICTURE, "The file is not a picture.")
    if not found.is_read or (found is sniff.HEIF and not _reads_heif()):
        raise Rejected(
            RejectionCode.UNSUPPORTED_FORMAT,
            f"{found.name} is not read here; {sniff.READABLE} are.",
        )
    if decode_cost.excessive(found.name, data):
        raise _costly()
    return found.name


@functools.cache
def _reads_heif() -> bool:
    """Registers HEIC and HEIF, the format of iPhones, with Pillow on the first call.

    libheif (``pillow-heif``) is optional: the Lambda functions, which read JPEG only, do without.
    """
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener(
        thumbnails=False,
        depth_images=False,
        aux_images=False,
        decode_threads=1,  # the machine's processors are the other workers'
    )
    return True


def _costly() -> Rejected:
    return Rejected(RejectionCode.TOO_MANY_PIXELS, "The picture is too costly to decode.")


def _decode(kind: str, data: bytes) -> Picture:
    if kind == "JPEG":
        return _decode_jpeg(data)
    if kind == "TIFF" and (planes := tiff.deep_planes(data)):
        return _finished(_merged(planes), 1)
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        return _loaded(image, data)


def _loaded(image: Image.Image, data: bytes, *, copied: bool = False) -> Picture:
    """The current frame of an opened picture; ``copied``: another one is loaded later."""
    if image.info.get("compression") in _FAXES:
        raise Rejected(RejectionCode.UNSUPPORTED_FORMAT, "A fax is no photo.")
    _check_pixels(image, data)
    is_negative, turn = _is_negative(image), _orientation(image)
    image.load()
    if is_negative:
        image = _positive(image)
    elif copied:
        image = image.copy()
    return _finished(image, turn)


def _finished(image: Image.Image, turn: int) -> Picture:
    """Upright and shrunk; of a picture that is shrunk the whole one is kept for its details."""
    size = image.size if turn < 5 else image.size[::-1]
    small = _upright(color.to_rgb(color.shrunk(image, LIMITS.longest_side)), turn)
    detail = None
    if max(image.size) > LIMITS.longest_side:
        detail = functools.partial(_whole, image, turn)
    return Picture(np.ascontiguousarray(small), *size, load_detail=detail)


def _whole(image: Image.Image, turn: int, longest: int) -> Image.Image:
    """The picture with ``longest`` pixels on its longer side, or more.

    Conversion takes several copies, so what is not RGB already is shrunk before.
    """
    most = longest if image.mode == "RGB" else CONVERTED_SIDE
    return _guarded(lambda: _upright(color.to_rgb(color.averaged(image, most)), turn))


def _upright(image: Image.Image, turn: int) -> Image.Image:
    return image.transpose(orientation.TURNS[turn]) if turn in orientation.TURNS else image


def _orientation(image: Image.Image) -> int:
    """By the metadata, where the decoder does not turn the picture by itself. Before it is loaded.

    HEIF is turned by libheif. TIFF is turned by Pillow, by its own tag but not by XMP.
    """
    if image.format == "HEIF":
        return 1
    if image.format == "TIFF":
        tagged = orientation.ORIENTATION in getattr(image, "tag_v2", {})
        return 1 if tagged else orientation.of_metadata(b"", _xmp(image))
    raw = image.info.get("exif", b"")
    exif = raw.removeprefix(b"Exif\0\0") if isinstance(raw, bytes) else b""
    return orientation.of_metadata(exif, _xmp(image))


def _xmp(image: Image.Image) -> bytes:
    packet = image.info.get("xmp", image.info.get("XML:com.adobe.xmp", b""))
    return packet.encode() if isinstance(packet, str) else bytes(packet)


# --- JPEG ---------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes) -> Picture:
    photo = jpeg.parse(data)
    if photo is None:
        raise _costly()
    turn = orientation.of_metadata(photo.exif, photo.xmp)
    with _opened_jpeg(photo) as image:
        _check_pixels(image, photo.bare)
        size = image.size
        image.draft("RGB", (LIMITS.longest_side, LIMITS.longest_side))
        image.load()
        if not photo.is_complete:
            _check_rows(image)
        small = color.to_rgb(color.shrunk(image, LIMITS.longest_side))
    upright = size if turn < 5 else size[::-1]
    detail = None
    if max(size) > LIMITS.longest_side:
        detail = functools.partial(_jpeg_detail, photo, turn, LIMITS.max_detail_pixels)
    return Picture(np.ascontiguousarray(_upright(small, turn)), *upright, load_detail=detail)


def _opened_jpeg(photo: jpeg.Jpeg) -> Image.Image:
    return Image.open(io.BytesIO(photo.completed), formats=["JPEG"])


def _jpeg_detail(photo: jpeg.Jpeg, turn: int, most: int, longest: int) -> Image.Image:
    """Decoded again at the smallest of libjpeg's scales that has ``longest`` pixels."""

    def load() -> Image.Image:
        with _opened_jpeg(photo) as image:
            width, height = image.size
            share = min(1.0, longest / max(width, height))
            while share > 0.125 and width * height * share * share > most:
                share /= 2
            image.draft("RGB", (max(1, int(width * share)), max(1, int(height * share))))
            image.load()
            return _upright(color.to_rgb(image), turn)

    return _guarded(load)


def _check_rows(image: Image.Image) -> None:
    """Raises :class:`Rejected` when too much of a JPEG is missing: what libjpeg fills is even."""
    gray = np.asarray(image.convert("L"))
    uneven = np.flatnonzero(np.ptp(gray, axis=1) > 0)
    there = (uneven[-1] + 1) / len(gray) if len(uneven) else 0.0
    if there < MIN_OF_CUT_JPEG:
        raise Rejected(RejectionCode.BROKEN_PICTURE, "The picture is cut short: send all of it.")


# --- TIFF ---------------------------------------------------------------------------------------

_FAXES = {"tiff_ccitt", "group3", "group4", "tiff_raw_16"}
"""Black and white only. libtiff goes on after a damaged row and writes a line to standard error for
each: two megabytes took 15 s and left 300 MB in the log."""


def _merged(planes: list[bytes]) -> Image.Image:
    """16-bit planes of red, green and blue as one picture of eight bits."""
    bands = []
    for plane in planes:
        with Image.open(io.BytesIO(plane), formats=["TIFF"]) as image:
            _check_pixels(image, plane, bands=len(planes))
            values = np.asarray(image, np.uint16)
        bands.append(Image.fromarray((values >> 8).astype(np.uint8)))
    return Image.merge("RGB", bands)


def _is_negative(image: Image.Image) -> bool:
    """Whether zero is white, which Pillow knows of eight bits only."""
    photometric = getattr(image, "tag_v2", {}).get(tiff.PHOTOMETRIC)
    return photometric == tiff.MIN_IS_WHITE and image.mode.startswith("I;16")


def _positive(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.uint16(65535) - np.asarray(image, np.uint16))


# --- limits -------------------------------------------------------------------------------------


def _check_pixels(image: Image.Image, data: bytes, bands: int | None = None) -> None:
    pixels = max(image.width * image.height, _tile_pixels(image))
    if image.format == "JPEG":
        fits = _fits_jpeg(pixels, data)
    elif image.format == "WEBP":
        fits = pixels <= LIMITS.max_webp_pixels
    elif image.format in ("HEIF", "AVIF"):
        fits = pixels <= LIMITS.max_heif_pixels
    else:
        samples = bands or len(image.getbands())
        octets = pixels * samples * (2 if _depth(image, data) > 8 else 1)
        fits = pixels <= LIMITS.max_pixels and octets <= LIMITS.max_raw_bytes
    if not fits:
        raise Rejected(
            RejectionCode.TOO_MANY_PIXELS, f"{image.width} x {image.height} pixels are too many."
        )


def _tile_pixels(image: Image.Image) -> int:
    """Of one tile of a TIFF, which is decoded whole though the picture may be smaller."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))


def _fits_jpeg(pixels: int, data: bytes) -> bool:
    scans = jpeg.scans(data)
    if scans < 2 and not jpeg.is_held(data):
        return pixels <= LIMITS.max_jpeg_pixels
    return pixels <= min(LIMITS.max_scanned_pixels, LIMITS.max_scan_work // max(scans, 1))


def _depth(image: Image.Image, data: bytes) -> int:
    """Bits a sample as the file has it; Pillow halves deep colors while it decodes."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(tiff.BITS, (8,))))
    return 8


_TILE_WIDTH, _TILE_LENGTH = 322, 323

# --- further frames -----------------------------------------------------------------------------

_SEVERAL = {"GIF", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"}
_PAGED = {"TIFF", "HEIF"}
"""Their frames have little to do with each other: each is looked at. Those of an animation are
alike, so the distance between the ones looked at doubles."""


def _frames(kind: str, data: bytes) -> Iterator[Picture]:
    reachable = decode_cost.frames(kind, data)
    pixels, looked = 0, 0
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        number = 1
        while looked < LIMITS.max_frames and number < reachable:
            try:
                image.seek(number)
            except EOFError:
                return
            pixels += image.width * image.height * (1 if kind in _PAGED else max(1, number // 2))
            if pixels > LIMITS.max_frame_pixels:
                return
            if image.info.get("compression") not in _FAXES:
                picture = _loaded(image, data, copied=True)
                picture.frame = number
                yield picture
            looked += 1
            number += 1 if kind in _PAGED else number
