"""A workload: which photos to send, how each went, and what it all comes to."""

import csv
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import urllib3
from urllib3.exceptions import HTTPError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"})
PERCENTILES = (50, 90, 95, 99)
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 150
"""Seconds; above the web tier's own deadline, so that its 504 is seen."""


@dataclass(frozen=True)
class Sent:
    """One request and how it went."""

    image: str
    """File name without extension."""
    began: float
    """Seconds since the start of the run."""
    seconds: float
    status: int
    """HTTP status, or 0 when there was no answer."""
    answer: str
    """What stands after the colon, or the error."""

    @property
    def ok(self) -> bool:
        return self.status == 200


@dataclass(frozen=True)
class Report:
    """What a run came to."""

    requests: int
    completed: int
    failed: int
    correct: int
    wrong: int
    seconds: float
    """From the first request to the last answer."""
    percentiles: dict[str, float]
    """Seconds of the completed requests, ``p50`` to ``p99`` and ``max``; empty when none was."""
    errors: dict[str, int]
    """How often each error came."""


def photos(folder: Path) -> list[Path]:
    """The pictures of a folder, by name; raises :class:`FileNotFoundError` when it has none."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise FileNotFoundError(f"no pictures in {folder}")
    return found


def repeated(found: Sequence[Path], count: int) -> Iterator[Path]:
    """``count`` photos, beginning anew when there are fewer."""
    return islice(cycle(found), count)


def read_predictions(path: Path) -> dict[str, str]:
    """File name without extension -> name, from a CSV ``Image,Results``.

    Raises :class:`ValueError` when a column is missing.
    """
    with path.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines, skipinitialspace=True)
        missing = {"Image", "Results"} - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
        return {_without_suffix(row["Image"]): row["Results"].strip() for row in rows}


def _without_suffix(image: str) -> str:
    path = Path(image.strip())
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


class Sender:
    """Posts photos to one address over kept connections. Safe to use from many threads."""

    def __init__(self, url: str, connections: int, headers: dict[str, str] | None = None) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=connections,
            retries=False,
            headers=headers,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        )
        self._start = time.monotonic()

    def send(self, photo: Path) -> Sent:
        """Sends one photo; every failure is a value."""
        began = time.monotonic()
        status, answer = self._post(photo)
        now = time.monotonic()
        return Sent(photo.stem, began - self._start, now - began, status, answer)

    def _post(self, photo: Path) -> tuple[int, str]:
        fields = {"inputFile": (photo.name, photo.read_bytes(), "application/octet-stream")}
        try:
            reply = self._pool.request("POST", self._url, fields=fields)
        except HTTPError as error:
            return 0, type(error).__name__
        text = reply.data.decode("utf-8", "replace").strip()
        if reply.status == 200:
            return 200, text.rpartition(":")[2]
        return reply.status, text.splitlines()[0] if text else str(reply.reason)


def summarise(sent: Sequence[Sent], predictions: dict[str, str], seconds: float) -> Report:
    """Counts and percentiles. A photo without a prediction is neither right nor wrong."""
    completed = [one for one in sent if one.ok]
    judged = [one.answer == predictions[one.image] for one in completed if one.image in predictions]
    return Report(
        requests=len(sent),
        completed=len(completed),
        failed=len(sent) - len(completed),
        correct=sum(judged),
        wrong=len(judged) - sum(judged),
        seconds=seconds,
        percentiles=_percentiles([one.seconds for one in completed]),
        errors=_errors(sent),
    )


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    ranks = {f"p{p}": math.ceil(p / 100 * len(ordered)) for p in PERCENTILES}
    return {name: ordered[rank - 1] for name, rank in ranks.items()} | {"max": ordered[-1]}


def _errors(sent: Sequence[Sent]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in sent:
        if not one.ok:
            what = f"{one.status or 'no answer'}: {one.answer.split(':')[0]}"
            found[what] = found.get(what, 0) + 1
    return found
