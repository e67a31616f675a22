"""The pages. They hold no data: their scripts ask the same API as every program does."""

from urllib.parse import urlsplit

from flask import Response, render_template, request

from facerec_tasks.recognition.images.sniff import PICKABLE, READABLE
from facerec_tasks.settings import Settings
from webapp.http.access import is_loopback
from webapp.pages.assets import Assets

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob:",
            "media-src blob:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    # With no-referrer a browser sends "Origin: null" with our own forms, and the gate refuses them.
    "Referrer-Policy": "same-origin",
}
"""Nothing is loaded from elsewhere, nothing is sent elsewhere, no script stands in a page."""


class Pages:
    """One per process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._assets = Assets()

    def photos(self) -> Response:
        """``GET /``: drop photos, see who is on them."""
        return _page(
            "photos.html",
            pickable=PICKABLE,
            readable=READABLE,
            max_upload_bytes=self._settings.max_upload_bytes,
            max_video_upload_bytes=self._settings.max_video_upload_bytes,
        )

    def people(self) -> Response:
        """``GET /who``: who is known."""
        return _page("people.html", pickable=PICKABLE)

    def history(self) -> Response:
        """``GET /history``: past photos, and who was on them."""
        return _page("history.html")

    def status(self) -> Response:
        """``GET /status``: the live picture, drawn by its script."""
        host = request.host.rpartition(":")[0] if ":" in request.host else request.host
        flower = f"{request.scheme}://{host}:{self._settings.flower_port}/"
        # Flower listens on loopback alone: elsewhere the link would lead nowhere.
        return _page("status.html", flower=flower if is_loopback(host.strip("[]")) else None)

    def privacy(self) -> Response:
        """``GET /privacy``: what is stored of whom, and how it is erased."""
        endpoint = urlsplit(self._settings.endpoint_url or "").hostname
        here = endpoint in ("127.0.0.1", "localhost", "::1")
        return _page("privacy.html", settings=self._settings, here=here)

    def static(self, name: str) -> Response:
        """``GET /static/<name>``."""
        return self._assets.serve(name)


def _page(template: str, **values: object) -> Response:
    response = Response(
        render_template(template, **values), content_type="text/html; charset=utf-8"
    )
    response.headers.update(HEADERS)
    return response
