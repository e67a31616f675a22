"""A folder that workers and clients share: a mark is an empty file."""

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

DECIDED = "decided/"
"""Begins the names of decisions among those of marks."""


class FilesystemDriver:
    """Around :class:`celery.backends.filesystem.FilesystemBackend`."""

    def __init__(self, backend: Any, prefix: str) -> None:
        self._backend = backend
        self._folder = Path(os.fsdecode(backend.path))
        self._prefix = prefix

    def read_many(self, keys: Sequence[Any]) -> list[Any]:
        return list(self._backend.mget(keys))

    def add(self, chord: str, mark: str) -> set[str]:
        self.create(chord, mark)
        return self.marks(chord)

    def create(self, chord: str, mark: str) -> bool:
        path = self._path(chord, mark)
        path.parent.mkdir(exist_ok=True)
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def marks(self, chord: str) -> set[str]:
        try:
            names = {unquote(name) for name in os.listdir(self._path(chord, ""))}
        except FileNotFoundError:
            return set()
        return {name for name in names if not name.startswith(DECIDED)}

    def remove(self, chord: str, marks: Iterable[str]) -> None:
        for mark in marks:
            with suppress(FileNotFoundError):
                self._path(chord, mark).unlink()

    def decide(self, chord: str, question: str, answer: str) -> str:
        path = self._path(chord, DECIDED + question)
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        draft.write_text(answer)
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        return path.read_text()

    def clear(self, chord: str) -> None:
        shutil.rmtree(self._path(chord, ""), ignore_errors=True)

    def _path(self, chord: str, mark: str) -> Path:
        folder = self._folder / f"{self._prefix}{quote(chord, safe='')}"
        return folder / quote(mark, safe="") if mark else folder
