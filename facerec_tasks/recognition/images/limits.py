"""Limits on a photo: bytes, pixels, time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageLimits:
    """Within these no file takes 3 s of one thread or 700 MB."""

    max_bytes: int = 64 * 1024 * 1024
    """A JPEG of 200 megapixels has 30 to 60 MB."""
    max_pixels: int = 40_000_000
    """Of a format that is decoded whole."""
    max_raw_bytes: int = 120_000_000
    """Of such a format, once unpacked: 40 megapixels of color, 15 with alpha and 16 bits."""
    max_webp_pixels: int = 25_000_000
    """Its decoder keeps three copies."""
    max_heif_pixels: int = 50_000_000
    """HEIC and AVIF: phones make up to 50 megapixels of them."""
    max_jpeg_pixels: int = 210_000_000
    """Of a JPEG in one scan: it is shrunk while it is decoded. Phones make 200 megapixels."""
    max_scanned_pixels: int = 50_000_000
    """Of a JPEG that is progressive or in several scans: all coefficients are in memory at once."""
    max_scan_work: int = 600_000_000
    """Pixels times scans of a JPEG: the decoder goes over all pixels once a scan."""
    longest_side: int = 1280
    """Pixels of the longer side of the copy faces are looked for in."""
    max_detail_pixels: int = 40_000_000
    """Of the larger copy faces are cut from."""
    max_frames: int = 10
    """Further pages or frames looked at when the first has no face."""
    max_frame_pixels: int = 60_000_000
    """Of those frames together."""


LIMITS = ImageLimits()
