"""What a change of a large gallery costs each child: ``python -m benchmarks.shared_gallery``.

An argument says how many people there are, 100,000 otherwise; half of them have two photos.
"""

import json
import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import memory
from benchmarks.random_gallery import random_gallery
from facerec_tasks.recognition.gallery import mapped

CHILDREN = 2
TIMEOUT = 120.0
"""Seconds for one search of each child."""
_context = multiprocessing.get_context("fork")


def main() -> None:
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        before, after = private_mb_after_changes(Path(folder), [people] * 4)
    print(json.dumps({"people": people, "before_mb": before, "after_mb": after}))


def private_mb_after_changes(folder: Path, sizes: list[int]) -> tuple[float, float]:
    """Private memory of a child that searches the first gallery, and the last of several.

    ``sizes`` are numbers of people, half of whom have two photos.
    """
    path = folder / "gallery"
    _write_apart(path, sizes[0])
    searched, changed = (_context.Barrier(CHILDREN + 1, timeout=TIMEOUT) for _ in range(2))
    children = [
        _context.Process(target=_search, args=(path, searched, changed)) for _ in range(CHILDREN)
    ]
    for child in children:
        child.start()
    try:
        searched.wait()
        before = max(memory.private_mb(child.pid) for child in children)
        for size in sizes[1:]:
            _write_apart(path, size)
            changed.wait()
            searched.wait()
        return before, max(memory.private_mb(child.pid) for child in children)
    finally:
        for child in children:
            child.kill()
            child.join()


def _search(path: Path, searched: Any, changed: Any) -> None:
    """A child opens and searches the gallery, and again whenever it has changed."""
    while True:
        gallery = mapped.open_file(path)
        gallery.search(np.zeros((3, gallery.dimension), np.float32))
        searched.wait()
        changed.wait()


def _write_apart(path: Path, people: int) -> None:
    """In a process of its own, as another worker would."""
    writer = _context.Process(target=_write, args=(path, people))
    writer.start()
    writer.join()
    if writer.exitcode:
        raise RuntimeError("the gallery could not be written")


def _write(path: Path, people: int) -> None:
    person_index = np.arange(people + people // 2, dtype=np.int32) % people
    gallery = random_gallery("resnet128", person_index, seed=people)
    path.with_suffix(".new").write_bytes(mapped.to_bytes(gallery))
    path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    main()
