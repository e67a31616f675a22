"""The kinds of responses. A view's return annotation says which it gives; the description of the
API is made from that, see :mod:`webapp.http.openapi`."""

from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

from flask import Response, current_app, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from facerec_tasks.recognition.images.sniff import sniff

Body = TypeVar("Body", bound=Mapping[str, object])

TEXT, JSON = "text/plain", "application/json"
IMAGES = tuple(f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp", "bmp", "tiff"))


class Rendered(Response, Generic[Body]):
    """``body`` as JSON or ``text``, whichever the client asked for."""

    media: ClassVar[tuple[str, ...]] = (TEXT, JSON)
    """What it may be, as ``Content-Type`` says it."""

    def __init__(self, body: Body, text: str) -> None:
        if wants_json(request.headers.get("Accept", "")):
            super().__init__(current_app.json.dumps(body) + "\n", content_type=JSON)
        else:
            super().__init__(text, content_type=f"{TEXT}; charset=utf-8")


class Created(Rendered[Body]):
    """It was made."""

    default_status = 201


class AcceptedResponse(Rendered[Body]):
    """It is to come; with ``Location`` and ``Retry-After``."""

    default_status = 202


class UnavailableBody(Rendered[Body]):
    """Not now."""

    default_status = 503


class NoContent(Response):
    """It is done."""

    default_status = 204
    media: ClassVar[tuple[str, ...]] = ()


class LinesBody(Response):
    """JSON in lines, as it becomes known."""

    default_mimetype = "application/x-ndjson"
    media: ClassVar[tuple[str, ...]] = (default_mimetype,)


class Document(Response):
    """JSON of another standard."""

    default_mimetype = JSON
    media: ClassVar[tuple[str, ...]] = (JSON,)


class JpegBody(Response):
    """A picture we made."""

    default_mimetype = "image/jpeg"
    media: ClassVar[tuple[str, ...]] = (default_mimetype,)


class Photo(Response):
    """A photo as it was uploaded."""

    media: ClassVar[tuple[str, ...]] = IMAGES

    def __init__(self, photo: bytes) -> None:
        found = sniff(photo)
        media_type = found.media_type if found else None
        super().__init__(photo, content_type=media_type or "application/octet-stream")


def wants_json(accept: str) -> bool:
    """By the header ``Accept``; text unless JSON is preferred."""
    accepted = parse_accept_header(accept, MIMEAccept)
    if "application/problem+json" in accepted.values():
        return True
    return accepted.best_match([TEXT, JSON], default=TEXT) == JSON
