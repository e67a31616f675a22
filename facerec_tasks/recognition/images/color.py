"""Any mode and depth of a picture to eight-bit RGB."""

import numpy as np
from PIL import Image, ImageCms

_REDUCIBLE = {"L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "I", "F"}


def shrunk(image: Image.Image, longest: int) -> Image.Image:
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


def averaged(image: Image.Image, longest: int) -> Image.Image:
    """``longest`` pixels on the longer side or more, by whole-number averaging; RGB keeps more.

    Of other modes at most ``longest``.
    """
    factor = max(image.size) // longest if image.mode == "RGB" else -(-max(image.size) // longest)
    return _averageable(image).reduce(factor) if factor >= 2 else image


def _averageable(image: Image.Image) -> Image.Image:
    """A mode whose values may be averaged; palettes and deep grays may not."""
    if image.mode in _REDUCIBLE:
        return image
    if image.mode in _DEEP:
        return image.convert("I")
    if image.mode in _PALETTES:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return to_rgb(image)


_PALETTES = {"P", "PA"}
_DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_TRANSPARENT = {"RGBA", "LA", "PA", "La", "RGBa"}


def to_rgb(image: Image.Image) -> Image.Image:
    """Eight-bit RGB; what is transparent is put on white."""
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
    values = np.asarray(image)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    brightest = max(float(finite.max()) if finite.size else 0.0, 1.0)
    white = float(_DEPTHS[min(int(np.searchsorted(_DEPTHS, brightest)), len(_DEPTHS) - 1)])
    scale = np.float32(255.0 / max(white, brightest))
    gray = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS):  # floats of the whole picture take four times as much
        rows = np.nan_to_num(values[top : top + _ROWS].astype(np.float32), posinf=0.0, neginf=0.0)
        gray[top : top + _ROWS] = np.clip(rows * scale, 0, 255)
    return Image.fromarray(gray).convert("RGB")


_ROWS = 256
"""Rows converted at once: bounds memory."""


def _from_lab(image: Image.Image) -> Image.Image:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return converted if converted is not None else image
