"""Two people with as many photos as one likes: the sample portraits, cut, lit and turned anew."""

import io
import random

from PIL import Image, ImageEnhance

from benchmarks import portraits

NAMES = {"hopper": "Grace", "collins": "Eileen"}


def photos(each: int, side: int = 80) -> list[tuple[str, bytes]]:
    """Name and JPEG file; the same ones every time."""
    drawn = random.Random(1)
    return [
        (name, _encoded(_varied(portraits.head(who, side), drawn)))
        for who, name in NAMES.items()
        for _ in range(each)
    ]


def _varied(picture: Image.Image, drawn: random.Random) -> Image.Image:
    turned = picture.rotate(
        drawn.uniform(-15, 15), Image.Resampling.BICUBIC, fillcolor=(90, 90, 90)
    )
    cut = drawn.randrange(8)
    cropped = turned.crop((cut, 0, turned.width - cut, turned.height))
    return ImageEnhance.Brightness(cropped).enhance(drawn.uniform(0.5, 1.4))


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()
