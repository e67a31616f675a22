"""Long lists in pages: where one ends and the next begins."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from facerec_tasks.recognition.gallery.records import PersonRecord
from webapp.http.errors import Problem


@dataclass(frozen=True)
class Page:
    """Some of a list."""

    people: Sequence[PersonRecord]
    next: str | None
    """Token that begins the next page; None on the last one."""


def page_of(people: Sequence[PersonRecord], limit: int, after: str | None) -> Page:
    """``people`` by name and id; ``after`` a token of an earlier page, whose last person may be
    gone since. Raises :class:`Problem`."""
    begin = 0
    if after is not None:
        begin = bisect_right(people, _position(after), key=lambda person: (person.name, person.id))
    found = people[begin : begin + limit]
    more = begin + limit < len(people)
    return Page(found, _token(found[-1]) if more else None)


def _token(person: PersonRecord) -> str:
    return base64.urlsafe_b64encode(f"{person.name}\n{person.id}".encode()).decode()


def _position(token: str) -> tuple[str, str]:
    try:
        name, _, id_ = base64.urlsafe_b64decode(token.encode()).decode().rpartition("\n")
    except (binascii.Error, ValueError) as error:
        raise Problem("bad-request", "after is a token of the page before") from error
    return name, id_
