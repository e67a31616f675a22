"""Pictures made of the sample people's portraits."""

from PIL import Image

from local.samples import portraits

_NAMES = {"hopper": "Grace_Hopper", "collins": "Eileen_Collins"}
_HEADS = {"hopper": (85, 60, 445, 420), "collins": (100, 0, 400, 300)}
"""Squares around head and shoulders."""


def portrait(who: str) -> Image.Image:
    """``hopper`` or ``collins``, RGB, as the wheel has it."""
    return portraits.portrait(_NAMES[who])


def head(who: str, side: int) -> Image.Image:
    """Head and shoulders, square, ``side`` pixels."""
    return portrait(who).resize((side, side), Image.Resampling.BICUBIC, box=_HEADS[who])


def group(side: int) -> Image.Image:
    """Both portraits twice, one pair turned by some degrees: four faces, ``side`` pixels wide."""
    half = side // 2
    picture = Image.new("RGB", (side, half * 2), (90, 110, 130))
    for index, (who, turn) in enumerate(
        (("hopper", 0), ("collins", 0), ("collins", 12), ("hopper", -9))
    ):
        small = head(who, half).rotate(turn, Image.Resampling.BICUBIC)
        picture.paste(small, (index % 2 * half, index // 2 * half))
    return picture


def large() -> Image.Image:
    """12.6 megapixels, as a telephone takes them: Collins on a wide background."""
    picture = Image.new("RGB", (4096, 3072), (70, 90, 100))
    picture.paste(head("collins", 2400), (800, 500))
    return picture
