"""Which picture format a file is, by its first bytes: one list for web tier, engine and CLI.

Pure, so that the web tier can judge an upload without a decoder. Signatures:
https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern and, for HEIF and AVIF,
ISO/IEC 23008-12.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFormat:
    """One format of still pictures."""

    name: str
    """As Pillow calls it, or for people where Pillow does not read it."""
    media_type: str | None = None
    """``None``: the format is known and not read."""

    @property
    def is_read(self) -> bool:
        return self.media_type is not None


JPEG = ImageFormat("JPEG", "image/jpeg")
PNG = ImageFormat("PNG", "image/png")
WEBP = ImageFormat("WEBP", "image/webp")
GIF = ImageFormat("GIF", "image/gif")
BMP = ImageFormat("BMP", "image/bmp")
TIFF = ImageFormat("TIFF", "image/tiff")
HEIF = ImageFormat("HEIF", "image/heic")
AVIF = ImageFormat("AVIF", "image/avif")

FORMATS = (JPEG, PNG, WEBP, GIF, BMP, TIFF, HEIF, AVIF)
"""What is read."""
READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC and AVIF"
"""The same for people."""
PICKABLE = ",".join((*(str(each.media_type) for each in FORMATS), ".heic", ".heif", ".avif"))
"""The same for ``accept`` of a page's file input; by suffix where systems know no media type."""

_SIGNATURES: tuple[tuple[bytes, ImageFormat], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"BM", BMP),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"%!PS", ImageFormat("PostScript")),
    (b"%PDF", ImageFormat("PDF")),
    (b"8BPS", ImageFormat("Photoshop")),
    (b"\0\0\0\x0cjP  ", ImageFormat("JPEG 2000")),
    (b"\xff\x0a", ImageFormat("JPEG XL")),
    (b"\0\0\0\x0cJXL ", ImageFormat("JPEG XL")),
    (b"\0\0\x01\0", ImageFormat("Icon")),
    (b"qoif", ImageFormat("QOI")),
    (b"<svg", ImageFormat("SVG")),
)

HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
AVIF_BRANDS = frozenset((b"avif", b"avis", b"avio"))
RAW_BRANDS = frozenset((b"crx ",))
"""Canon's raw pictures, in the same boxes."""
_MOST_BRANDS = 32


def sniff(data: bytes) -> ImageFormat | None:
    """The format the first bytes announce; ``None`` for what no picture begins with."""
    for signature, found in _SIGNATURES:
        if data.startswith(signature):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    return _iso_media(data) if data[4:8] == b"ftyp" else None


def _iso_media(data: bytes) -> ImageFormat | None:
    """HEIF or AVIF by the brands of the file type box; ``mif1`` alone may be either."""
    end = min(int.from_bytes(data[:4]), 16 + 4 * _MOST_BRANDS, len(data))
    major = data[8:12]
    if major in RAW_BRANDS:
        return ImageFormat("Canon raw")
    if major not in HEIF_BRANDS | AVIF_BRANDS:
        return None
    brands = {major, *(data[at : at + 4] for at in range(16, end - 3, 4))}
    coded_as_hevc = brands & (HEIF_BRANDS - {b"mif1", b"msf1"})
    return AVIF if brands & AVIF_BRANDS and not coded_as_hevc else HEIF
