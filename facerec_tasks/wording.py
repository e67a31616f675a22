"""Numbers with their nouns, for text that people read."""

from collections.abc import Sequence


def counted(number: float, noun: str, plural: str = "") -> str:
    """``1 photo``, ``3 photos``, ``no photo``; ``plural`` where an ``s`` does not make it."""
    whole = round(number)
    if whole == 0:
        return f"no {noun}"
    return f"{whole} {noun if whole == 1 else plural or noun + 's'}"


def counted_is(number: float, noun: str, plural: str = "") -> str:
    """The same with its verb: ``1 photo is``, ``3 photos are``, ``no photo is``."""
    return f"{counted(number, noun, plural)} {'are' if round(number) > 1 else 'is'}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
