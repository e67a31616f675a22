"""What forked children of one loaded engine cost and do: memory of their own, faces a second."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import memory


@dataclass(frozen=True)
class Prefork:
    """Of ``children`` at work at once."""

    children: int
    private_mb: float
    """The largest child's own memory: what it does not share with its parent."""
    per_second: float
    """Calls of all children together."""


def measure(work: Callable[[], object], children: int = 2, calls: int = 20) -> Prefork:
    """Forks ``children`` that each do ``work`` ``calls`` times; call it with one thread only."""
    started = time.monotonic()
    pipes = [_fork(work, calls) for _ in range(children)]
    try:
        for _, done in pipes:
            os.read(done, 1)
        seconds = time.monotonic() - started
        private = max(memory.private_mb(child) for child, _ in pipes)
    finally:
        for child, done in pipes:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(done)
    return Prefork(children, private, children * calls / seconds)


def _fork(work: Callable[[], object], calls: int) -> tuple[int, int]:
    """The child's process id, and what can be read from once it is done; it then waits."""
    done, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, done
    try:
        for _ in range(calls):
            work()
        os.write(tell, b".")
        signal.pause()
    finally:
        os._exit(1)  # never back into the parent's code
