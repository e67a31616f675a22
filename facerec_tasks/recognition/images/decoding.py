"""Untrusted bytes to an upright RGB picture, or a reason why not.

Six formats, any mode and depth. Orientation is applied, transparency put on white, and a large
photo is shrunk while it is decoded, so that neither memory nor time grows with what a sender
claims.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from facerec_tasks.recognition.images import decode_cost, exif, jpeg
from facerec_tasks.recognition.rejection import Rejected, RejectionCode

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow's decoders we let untrusted bytes near. Never EPS: it starts Ghostscript."""


@dataclass(frozen=True)
class ImageLimits:
    """What one photo may cost: within them no file takes 3 s of one thread or 700 MB."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 40_000_000
    """Of a format that is decoded whole."""
    max_raw_bytes: int = 120_000_000
    """Of such a format, once unpacked: 40 megapixels of color, 15 with alpha and 16 bits."""
    max_webp_pixels: int = 25_000_000
    """Its decoder keeps three copies."""
    max_jpeg_pixels: int = 170_000_000
    """Of a JPEG in one scan: it is shrunk while it is decoded."""
    max_scanned_pixels: int = 50_000_000
    """Of a JPEG that is progressive or in several scans: all coefficients are in memory at once."""
    max_scan_work: int = 600_000_000
    """Pixels times scans of a JPEG: the decoder goes over all pixels once a scan."""
    longest_side: int = 1280
    """Pixels of the longer side after shrinking; faces of 20 px of the result are found."""


DEFAULT_IMAGE_LIMITS = ImageLimits()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded photo, upright, perhaps shrunk."""

    rgb: NDArray[np.uint8]
    """height x width x 3, contiguous."""
    width: int
    height: int
    """Of the upright original."""

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the original per pixel of ``rgb``, across and down."""
        rows, columns = self.rgb.shape[:2]
        return self.width / columns, self.height / rows


def decode(data: bytes, limits: ImageLimits = DEFAULT_IMAGE_LIMITS) -> Picture:
    """The picture in ``data``. Raises :class:`Rejected`, and nothing else."""
    kind = _check_bytes(data, limits)
    try:
        # Pillow warns of what we decide ourselves: many pixels, odd metadata.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(kind, data, limits)
    except Rejected:
        raise
    except Image.DecompressionBombError as error:
        raise Rejected(RejectionCode.TOO_MANY_PIXELS, "The picture has too many pixels.") from error
    except Exception as error:  # damaged files make decoders raise anything
        raise Rejected(
            RejectionCode.BROKEN_PICTURE, "The picture is damaged, cut short or of an unusual kind."
        ) from error


def _check_bytes(data: bytes, limits: ImageLimits) -> str:
    """The format, one of :data:`FORMATS`."""
    if not data:
        raise Rejected(RejectionCode.EMPTY, "The file is empty.")
    if len(data) > limits.max_bytes:
        raise Rejected(RejectionCode.TOO_LARGE, f"The file has more than {limits.max_bytes} bytes.")
    kind = sniff(data)
    if kind is None:
        raise Rejected(RejectionCode.NOT_A_PICTURE, "The file is not a picture.")
    if kind not in FORMATS:
        known = "JPEG, PNG, WebP, BMP, TIFF and GIF"
        raise Rejected(RejectionCode.UNSUPPORTED_FORMAT, f"{kind} is not read here; {known} are.")
    if decode_cost.excessive(kind, data):
        raise _costly()
    return kind


def _costly() -> Rejected:
    return Rejected(RejectionCode.TOO_MANY_PIXELS, "The picture is too costly to decode.")


_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"%!PS", "PostScript"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\x01\0", "Icon"),
    (b"qoif", "QOI"),
    (b"<svg", "SVG"),
)
_ISO_MEDIA = {b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis"}


def sniff(data: bytes) -> str | None:
    """The format the first bytes announce; none for what no picture begins with."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and data[8:12] in _ISO_MEDIA:
        return "AVIF" if data[8:11] == b"avi" else "HEIC"
    return None


def _decode(kind: str, data: bytes, limits: ImageLimits) -> Picture:
    held = 1
    if kind == "JPEG":
        photo = jpeg.parse(data)
        if photo is None:
            raise _costly()
        data, held = photo.bare, exif.orientation(photo.exif)
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        if image.info.get("compression") in _FAXES:
            raise Rejected(RejectionCode.UNSUPPORTED_FORMAT, "A fax is no photo.")
        _check_pixels(image, data, limits)
        size = image.size
        image.draft("RGB", (limits.longest_side, limits.longest_side))
        image.load()
        held = max(held, exif.orientation(_exif_of(image)))
        upright = _rgb(_shrunk(image, limits.longest_side))
    if held in _TURNS:
        upright = upright.transpose(_TURNS[held])
    width, height = size if held < 5 else size[::-1]
    return Picture(np.ascontiguousarray(upright), width, height)


_FAXES = {"tiff_ccitt", "group3", "group4", "tiff_raw_16"}
"""Black and white only. libtiff goes on after a damaged row and writes a line to standard error for
each: two megabytes took 15 s and left 300 MB in the log."""


def _check_pixels(image: Image.Image, data: bytes, limits: ImageLimits) -> None:
    pixels = max(image.width * image.height, _tile_pixels(image))
    if image.format == "JPEG":
        fits = _fits_jpeg(pixels, data, limits)
    elif image.format == "WEBP":
        fits = pixels <= limits.max_webp_pixels
    else:
        octets = pixels * len(image.getbands()) * (2 if _depth(image, data) > 8 else 1)
        fits = pixels <= limits.max_pixels and octets <= limits.max_raw_bytes
    if not fits:
        raise Rejected(
            RejectionCode.TOO_MANY_PIXELS, f"{image.width} x {image.height} pixels are too many."
        )


def _tile_pixels(image: Image.Image) -> int:
    """Of one tile of a TIFF, which is decoded whole though the picture may be smaller."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))


def _fits_jpeg(pixels: int, data: bytes, limits: ImageLimits) -> bool:
    scans = jpeg.scans(data)
    if scans < 2 and not jpeg.is_held(data):
        return pixels <= limits.max_jpeg_pixels
    return pixels <= min(limits.max_scanned_pixels, limits.max_scan_work // max(scans, 1))


def _depth(image: Image.Image, data: bytes) -> int:
    """Bits a sample as the file has it; Pillow halves deep colors while it decodes."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))))
    return 8


_BITS_PER_SAMPLE, _TILE_WIDTH, _TILE_LENGTH = 258, 322, 323

# --- orientation ------------------------------------------------------------------------------

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, table 4: what makes a picture of this orientation upright."""


def _exif_of(image: Image.Image) -> bytes:
    """Of PNG and WebP. JPEG was stripped of it, and TIFF is turned by Pillow while it loads."""
    raw = image.info.get("exif", b"")
    return raw.removeprefix(b"Exif\0\0") if isinstance(raw, bytes) else b""


# --- size and mode ----------------------------------------------------------------------------

_REDUCIBLE = {"L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "I", "F"}


def _shrunk(image: Image.Image, longest: int) -> Image.Image:
    """At most ``longest`` pixels on a side, by whole-number averaging and then interpolation."""
    factor = max(image.size) // longest
    if factor < 2 and max(image.size) <= longest:
        return image
    image = _averageable(image)
    if factor >= 2:
        image = image.reduce(factor)
    if max(image.size) > longest:
        share = longest / max(image.size)
        size = tuple(max(1, round(side * share)) for side in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=None)
    return image


def _averageable(image: Image.Image) -> Image.Image:
    """A mode whose values may be averaged; palettes and deep grays may not."""
    if image.mode in _REDUCIBLE:
        return image
    if image.mode in _DEEP:
        return image.convert("I")
    if image.mode in _PALETTES:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return _rgb(image)


_PALETTES = {"P", "PA"}
_DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_TRANSPARENT = {"RGBA", "LA", "PA", "La", "RGBa"}


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in _DEEP:
        return _gray(image)
    if image.mode == "LAB":
        return _from_lab(image)
    if image.mode in _TRANSPARENT or image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image)
    return white


_DEPTHS = np.array([1, 255, 1023, 4095, 16383, 65535])
"""Full white at the depths grays come in; 1 for floating point."""


def _gray(image: Image.Image) -> Image.Image:
    """16 and 32 bit grays. The depth is not always told: the smallest that holds the brightest."""
    values = np.nan_to_num(np.asarray(image, np.float32), posinf=0.0, neginf=0.0)
    brightest = max(float(values.max()), 1.0)
    white = float(_DEPTHS[min(int(np.searchsorted(_DEPTHS, brightest)), len(_DEPTHS) - 1)])
    scaled = np.clip(values * np.float32(255.0 / max(white, brightest)), 0, 255)
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return converted if converted is not None else image
