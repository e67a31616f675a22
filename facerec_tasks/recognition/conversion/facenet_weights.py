"""Where FaceNet's weights come from: a given file, torch's cache, or the project's release.

``InceptionResnetV1(pretrained='vggface2')`` of facenet-pytorch downloads the same file to the same
place, so whoever has used that has the weights already.
"""

import hashlib
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from facerec_tasks.atomic_file import replacing

FILE_NAME = "20180402-114759-vggface2.pt"
URL = f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{FILE_NAME}"
SHA256 = "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b"
SIZE = 111_898_327
"""Bytes."""

READ_TIMEOUT = 30.0
"""Seconds without a byte until the release counts as unreachable."""
TOTAL_TIMEOUT = 3600.0
CHUNK = 1 << 18


class WeightsMissing(Exception):
    """Raised for weights that are not at hand, or not the ones we know; says the remedy."""


def torch_cache() -> Path:
    """Where torch keeps checkpoints (``torch.hub``)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "checkpoints"


def locate(weights: Path | None = None, url: str = URL) -> Path:
    """The checkpoint: ``weights`` if given, else the one in torch's cache, fetched if need be.

    Raises :class:`WeightsMissing`. Whether it is the right file, the caller checks.
    """
    if weights is not None:
        if not weights.is_file():
            raise WeightsMissing(f"there is no file {weights}")
        return weights
    path = torch_cache() / FILE_NAME
    if not path.is_file():
        fetch(path, url)
    return path


def fetch(path: Path, url: str = URL, sha256: str = SHA256) -> None:
    """Downloads the weights to ``path``: whole and right, or not at all.

    Raises :class:`WeightsMissing`.
    """
    try:
        with replacing(path) as partial:
            digest = _download(url, partial, _Bar(path.name))
            if digest != sha256:
                raise WeightsMissing(f"{url} sent another file: its SHA-256 is {digest}")
    except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
        raise WeightsMissing(
            f"cannot fetch FaceNet's weights from {url}: {error}\n"
            f"Fetch the file on a machine that can ({SIZE / 1e6:.0f} MB) and put it at {path}, or "
            "name it: --weights FILE.\n"
            "The engine resnet128 needs no download."
        ) from error


def _download(url: str, path: Path, progress: Callable[[int, int], None]) -> str:
    """Returns the SHA-256 of what came."""
    digest = hashlib.sha256()
    deadline = time.monotonic() + TOTAL_TIMEOUT
    request = urllib.request.Request(url)  # noqa: S310 - https, or a test's own server
    with (
        urllib.request.urlopen(request, timeout=READ_TIMEOUT) as answer,  # noqa: S310
        path.open("wb") as file,
    ):
        total, done = int(answer.headers.get("Content-Length") or SIZE), 0
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(done, total)
            if done > 2 * SIZE or time.monotonic() > deadline:
                raise OSError("it does not end")
    if done < total:
        raise OSError(f"it ended after {done} of {total} bytes")
    return digest.hexdigest()


class _Bar:
    """Progress on standard error: a bar on a terminal, a line every tenth elsewhere."""

    WIDTH = 40

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        terminal = sys.stderr.isatty()
        step = done * (100 if terminal else 10) // max(total, 1)
        if step == self._shown:
            return
        self._shown = step
        share = min(done / max(total, 1), 1)
        bar = ("#" * round(share * self.WIDTH)).ljust(self.WIDTH, ".")
        end = "\n" if done >= total or not terminal else "\r"
        sys.stderr.write(f"{self._name} [{bar}] {share:4.0%} of {total / 1e6:.0f} MB{end}")
        sys.stderr.flush()
