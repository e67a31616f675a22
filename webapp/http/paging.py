"""Long lists in pages: where one ends and the next begins."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def page_of(
    items: Sequence[T], limit: int, after: Any, key: Callable[[T], Any]
) -> tuple[Sequence[T], T | None]:
    """Some of a list in the order of ``key``, and the last of them unless the list ends with it.

    ``after`` is the key of the last one of an earlier page, which may be gone since, or None.
    """
    begin = 0 if after is None else bisect_right(items, after, key=key)
    found = items[begin : begin + limit]
    return found, found[-1] if begin + limit < len(items) else None
