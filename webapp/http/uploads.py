"""Uploads, judged before anything is stored: size, kind, and a file name that is safe as an S3 key.

Pure: no Flask, no AWS. A rejection is a :class:`Problem`.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from facerec_tasks.recognition.images.sniff import READABLE, sniff
from facerec_tasks.video import container
from webapp.http.errors import Problem

MAX_NAME_BYTES = 255
"""Bytes of UTF-8 in a key: what file systems allow, so no real file's name is ever shortened. The
key travels in a message of at most 1024 bytes (289 without a name)."""
MAX_EXTENSION_BYTES = 16
DIGEST_CHARACTERS = 10
PIECE = 1 << 20

_FORBIDDEN = frozenset('/\\:"<>|?*')
"""Paths, and what stands for something else in answers (``stem:name``), headers and shells."""


@dataclass(frozen=True)
class Upload:
    """A photo or a video that may be stored."""

    key: str
    """S3 key: the cleaned file name."""
    content_type: str
    """Of the bytes, not of the client's word."""
    data: bytes = b""
    file: BinaryIO | None = None
    """Of a video, in the place of ``data``: it is not held in memory."""

    @property
    def is_video(self) -> bool:
        return self.file is not None

    def chunks(self) -> Iterator[bytes]:
        """All bytes, piece by piece."""
        if self.file is None:
            yield self.data
            return
        self.file.seek(0)
        while piece := self.file.read(PIECE):
            yield piece
        self.file.seek(0)

    @property
    def stem(self) -> str:
        return stem(self.key)


def accept(file_name: str, data: bytes, max_bytes: int) -> Upload:
    """The upload as it will be stored; raises :class:`Problem`."""
    if not data:
        raise Problem("empty", "the file is empty")
    if len(data) > max_bytes:
        raise Problem("too-large", f"the photo has more than {max_bytes} bytes")
    found = sniff(data)
    if found is None:
        raise Problem("not-a-picture", f"send {READABLE}, or a video")
    if found.media_type is None:
        raise Problem("unsupported-format", f"{found.name} is not read: send {READABLE}")
    return Upload(key=clean_name(file_name), content_type=found.media_type, data=data)


def accept_video(file_name: str, file: BinaryIO, max_bytes: int) -> Upload | None:
    """A video as it will be stored; none for what is none. Raises :class:`Problem`."""
    head = file.read(container.NEEDED)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    found = container.sniff(head)
    if found is None or sniff(head) is not None:  # an animated GIF is taken as the photo it is, too
        return None
    if size > max_bytes:
        raise Problem("too-large", f"the video has more than {max_bytes} bytes")
    return Upload(key=clean_name(file_name), content_type=found.media_type, file=file)


def stem(key: str) -> str:
    """File name without extension: the key in the out-bucket and what stands before the colon."""
    return PurePosixPath(key).stem


def clean_name(name: str) -> str:
    """A file name that is safe as a key, unchanged when it already is.

    A changed name carries a digest of the name as it came, so that two names which clean alike
    stay two.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in base if c not in _FORBIDDEN and unicodedata.category(c)[0] != "C")
    kept = kept.strip()
    if kept.strip(".") == "":
        kept = "photo"
    if kept == name and len(kept.encode()) <= MAX_NAME_BYTES:
        return kept
    return _with_digest(kept, name)


def _with_digest(kept: str, original: str) -> str:
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()
    mark = f"-{digest[:DIGEST_CHARACTERS]}"
    path = PurePosixPath(kept)
    extension = path.suffix if len(path.suffix.encode()) <= MAX_EXTENSION_BYTES else ""
    room = MAX_NAME_BYTES - len((mark + extension).encode())
    # The longest beginning that fits, never cut inside a character.
    shortened = kept.removesuffix(extension).encode()[:room].decode("utf-8", "ignore")
    return shortened + mark + extension
