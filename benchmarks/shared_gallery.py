"""What a change of a large gallery costs each child: ``python -m benchmarks.shared_gallery``.

An argument says how many people there are, 100,000 otherwise; half of them have two photos.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import memory
from facerec_tasks.recognition.gallery import mapped
from facerec_tasks.recognition.gallery.gallery import Gallery

CHILDREN = 2


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
    _write(path, sizes[0])
    pipes = [_fork(path) for _ in range(CHILDREN)]
    try:
        _searched(pipes)
        before = max(memory.private_mb(child) for child, *_ in pipes)
        for size in sizes[1:]:
            _write(path, size)
            for _, tell, _done in pipes:
                os.write(tell, b".")
            _searched(pipes)
        return before, max(memory.private_mb(child) for child, *_ in pipes)
    finally:
        for child, tell, done in pipes:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(tell)
            os.close(done)


def _searched(pipes: list[tuple[int, int, int]]) -> None:
    for _, _tell, done in pipes:
        if os.read(done, 1) != b".":
            raise RuntimeError("a child ended")


def _write(path: Path, people: int) -> None:
    """In a process of its own, as another worker would."""
    child = os.fork()
    if not child:
        path.with_suffix(".new").write_bytes(mapped.to_bytes(_made(people)))
        path.with_suffix(".new").replace(path)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the gallery could not be written")


def _fork(path: Path) -> tuple[int, int, int]:
    """A child that opens and searches the gallery, and again whenever it is told to."""
    (heard, tell), (done, said) = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.close(heard)
        os.close(said)
        return child, tell, done
    try:
        while True:
            gallery = mapped.open_file(path)
            gallery.search(np.zeros((3, gallery.dimension), np.float32))
            os.write(said, b".")
            os.read(heard, 1)
    finally:
        os._exit(1)


def _made(people: int) -> Gallery:
    drawn, photos = np.random.default_rng(people), people + people // 2
    person_index = np.arange(photos, dtype=np.int32) % people
    empty = Gallery.empty("resnet128")
    return Gallery(
        engine=empty.engine,
        names=tuple(f"person {n}" for n in range(people)),
        person_index=person_index,
        embeddings=drawn.normal(0, 0.1, (photos, empty.dimension)).astype(np.float32),
        photos=tuple(f"{n:032x}-{n:08x}" for n in range(photos)),
        threshold=empty.threshold,
        margin=empty.margin,
    )


if __name__ == "__main__":
    main()
