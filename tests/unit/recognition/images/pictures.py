"""Files of pictures, made for the tests of this folder."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import portraits

PHOTO = portraits.head("collins", 96).crop((0, 0, 96, 80))


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def animation(kind: str, count: int) -> bytes:
    """Frame n is of gray 10 n."""
    frames = [Image.new("RGB", (32, 32), (10 * n,) * 3) for n in range(count)]
    more: dict[str, Any] = {"disposal": 2} if kind == "GIF" else {}
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], **more)


def deep_planar_tiff(order: str, compression: int) -> bytes:
    """16-bit RGB whose samples lie in planes, two strips a plane; 1 is raw and 8 deflated."""
    values = np.asarray(PHOTO, np.uint16).transpose(2, 0, 1) * 257
    raw = [half.astype(f"{order}u2").tobytes() for plane in values for half in np.split(plane, 2)]
    strips = [zlib.compress(strip) if compression == 8 else strip for strip in raw]
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    places, sizes, bits = starts[6] + 200, starts[6] + 230, starts[6] + 260
    tags = [(256, 3, 1, 96), (257, 3, 1, 80), (258, 3, 3, bits), (259, 3, 1, compression)]
    tags += [(262, 3, 1, 2), (273, 4, 6, places), (277, 3, 1, 3), (278, 3, 1, 40)]
    tags += [(279, 4, 6, sizes), (284, 3, 1, 2)]
    table = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        one = f"{order}HHLHH" if kind == 3 and count == 1 else f"{order}HHLL"
        table += struct.pack(one, tag, kind, count, value, *([0] if one.endswith("HH") else []))
    table = (table + bytes(4)).ljust(200, b"\0")
    table += struct.pack(f"{order}6L", *starts[:6]).ljust(30, b"\0")
    table += struct.pack(f"{order}6L", *map(len, strips)).ljust(30, b"\0")
    table += struct.pack(f"{order}3H", 16, 16, 16)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}L", starts[6]) + b"".join(strips) + table
