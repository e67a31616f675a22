"""What forked children of one loaded engine cost and do: memory of their own, faces a second."""

import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import memory

TIMEOUT = 600.0
"""Seconds for all calls of a child."""


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
    context = multiprocessing.get_context("fork")
    done = context.Barrier(children + 1, timeout=TIMEOUT)

    def run() -> None:
        for _ in range(calls):
            work()
        done.wait()
        signal.pause()

    started = time.monotonic()
    forked = [context.Process(target=run) for _ in range(children)]
    for child in forked:
        child.start()
    try:
        done.wait()
        seconds = time.monotonic() - started
        private = max(memory.private_mb(child.pid) for child in forked)
    finally:
        for child in forked:
            child.kill()
            child.join()
    return Prefork(children, private, children * calls / seconds)
