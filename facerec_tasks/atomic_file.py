"""Files that are replaced as a whole: a reader sees the old content or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to, which takes its place at the end of the block.

    Safe for several processes at once. After an exception what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """``durable`` also survives a power cut. Raises :class:`OSError`; what was there then stays."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())
