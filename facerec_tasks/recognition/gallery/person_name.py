"""Validates and normalizes the name of a person."""

import unicodedata
from typing import NoReturn

from facerec_tasks.recognition.gallery.header import GalleryError

MAX_NAME = 200
"""Characters of a person's name."""
RESERVED = frozenset({"unknown", "no-face"})
"""Answers of the system; a person of that name could not be told from them."""
JOINERS = "\u200c\u200d"
"""ZERO WIDTH NON-JOINER and JOINER: part of the spelling in Persian, in Indic scripts, in emoji."""


def checked_name(name: str) -> str:
    """The name in its one spelling; raises :class:`GalleryError` for what cannot be an answer.

    An answer is one line of text after a colon, and ``unknown`` and ``no-face`` mean something.
    """
    name = unicodedata.normalize("NFC", name)
    if not name or name != name.strip() or len(name) > MAX_NAME:
        _refuse_name(name, f"1 to {MAX_NAME} characters, no space around them")
    if name[0] in JOINERS or name[-1] in JOINERS:
        _refuse_name(name, "a joiner joins two characters")
    if not name.translate(dict.fromkeys(map(ord, JOINERS))).isprintable():
        _refuse_name(name, "printable characters only")
    if name in RESERVED:
        _refuse_name(name, "that is an answer of the system")
    return name


def _refuse_name(name: str, reason: str) -> NoReturn:
    raise GalleryError(f"not a name: {name[:MAX_NAME]!r} ({reason})")
