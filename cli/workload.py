"""A workload: which photos are sent, when, and the expected names."""

import csv
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Turn:
    """One photo to send."""

    photo: Path
    due: float | None = None
    """Monotonic seconds at which it is to be sent; none: as soon as somebody is free."""


def photos(folder: Path) -> list[Path]:
    """The pictures of a folder, by name; raises :class:`FileNotFoundError` when it has none."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise FileNotFoundError(f"no pictures in {folder}")
    return found


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


class Workload:
    """Turns, handed out to many threads. It ends after ``requests`` turns or ``duration`` seconds,
    whichever comes first; at least one must be given."""

    def __init__(
        self,
        found: Sequence[Path],
        *,
        requests: int | None = None,
        duration: float | None = None,
        rate: float | None = None,
    ) -> None:
        """``rate`` in turns a second: they are due whether or not earlier ones were answered."""
        self._turns: Iterator[Turn] = self._planned(found, requests, duration, rate)
        self._lock = threading.Lock()

    def next(self) -> Turn | None:
        """The next turn, or none when the workload is over."""
        with self._lock:
            return next(self._turns, None)

    def end(self) -> None:
        """Gives out nothing more."""
        with self._lock:
            self._turns = iter(())

    @staticmethod
    def _planned(
        found: Sequence[Path], requests: int | None, duration: float | None, rate: float | None
    ) -> Iterator[Turn]:
        began = time.monotonic()
        for number, photo in zip(count(), cycle(found), strict=False):
            due = began + number / rate if rate else None
            late = (due or time.monotonic()) - began >= duration if duration else False
            if late or number == requests:
                return
            yield Turn(photo, due)
