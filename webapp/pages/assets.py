"""Scripts, styles and icons: read once at the start, served from memory, asked again each time.

A browser keeps them and asks with their ETag, which costs it a 304; so nobody ever sees half of an
old version with half of a new one.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from flask import Response, request

from webapp.http.errors import Problem

FOLDER = Path(__file__).parent.parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """One file."""

    content_type: str
    data: bytes
    packed: bytes
    """The same by gzip."""
    etag: str


class Assets:
    """All files of a folder. What is not there at the start is not there."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = (path for path in sorted(folder.iterdir()) if path.suffix in TYPES)
        self._assets = {path.name: _read(path) for path in files}

    def serve(self, name: str) -> Response:
        """``GET /static/<name>``."""
        asset = self._assets.get(name)
        if asset is None:
            raise Problem("not-found", "no such file")
        packed = request.accept_encodings["gzip"] > 0
        response = Response(asset.packed if packed else asset.data)
        response.content_type = asset.content_type
        if packed:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        response.cache_control.no_cache = True
        response.set_etag(f"{asset.etag}-{'gzip' if packed else 'plain'}")
        return response.make_conditional(request)  # type: ignore[return-value]  # itself


def _read(path: Path) -> Asset:
    data = path.read_bytes()
    packed = gzip.compress(data, mtime=0)
    return Asset(TYPES[path.suffix], data, packed, hashlib.sha256(data).hexdigest()[:16])
