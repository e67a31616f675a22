"""The contact sheet: one picture with the best crop of each person."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from facerec_tasks.video.timeline import PersonInVideo

TILE, LABEL, GAP = 192, 44, 12
"""Pixels."""
COLUMNS, MOST = 5, 40
PAPER, INK, PALE = (250, 250, 248), (28, 28, 30), (110, 110, 115)


def contact_sheet(people: Sequence[tuple[PersonInVideo, bytes]]) -> bytes:
    """JPEG; of nobody, an empty page."""
    shown = people[:MOST]
    columns = max(1, min(COLUMNS, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    size = columns * (TILE + GAP) + GAP, rows * (TILE + LABEL + GAP) + GAP
    page = Image.new("RGB", size, PAPER)
    for index, (person, portrait) in enumerate(shown):
        x = GAP + index % columns * (TILE + GAP)
        y = GAP + index // columns * (TILE + LABEL + GAP)
        _tile(page, (x, y), person, portrait)
    file = io.BytesIO()
    page.save(file, "JPEG", quality=85)
    return file.getvalue()


def _tile(
    page: Image.Image, corner: tuple[int, int], person: PersonInVideo, portrait: bytes
) -> None:
    x, y = corner
    with Image.open(io.BytesIO(portrait), formats=["JPEG"]) as picture:
        page.paste(picture.convert("RGB").resize((TILE, TILE)), corner)
    pen = ImageDraw.Draw(page)
    pen.text((x, y + TILE + 4), _fitting(pen, person.name.replace("_", " ")), INK, _font(15))
    pen.text(
        (x, y + TILE + 24), f"{clock(person.spans[0][0])}, {person.seconds:.1f} s", PALE, _font(13)
    )


def _fitting(pen: ImageDraw.ImageDraw, text: str) -> str:
    while len(text) > 1 and pen.textlength(text, _font(15)) > TILE:
        text = text[:-2] + "…"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def clock(seconds: float) -> str:
    """Minutes and seconds, hours when there are any."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
