"""A child process in a group of its own: tied to us, logged to a file, ended with its children."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from local.processes import parent_death_signal
from local.processes.shutdown import SIGNALS

KILL_WAIT = 5.0
"""Seconds the kernel may take to collect a killed process; longer means a stuck machine."""


@contextmanager
def _signals_held() -> Iterator[None]:
    """Handlers that end us run after a child's start, not between its start and our knowing of it.

    Blocking the signals would not do: Python runs handlers in the main thread, whichever thread
    the kernel gave the signal to.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs here
        return
    came: list[int] = []
    before = {n: h for n in SIGNALS if callable(h := signal.getsignal(n))}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came[:1]:
            signal.raise_signal(late)


class Child:
    """One running command. It dies with us, and at once with a ``with`` block of it.

    Its own children are ended with it.

    Start it from a thread that outlives it (see :func:`.tie_to_parent`).
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        stdout: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """``log`` is appended to; without one, output goes where ours goes. ``pass_fds`` are open
        files the command inherits, under the same numbers."""
        self.command = tuple(command)
        self.started_at = time.monotonic()
        self._swept = False
        tied = [
            sys.executable,
            "-I",
            "-S",
            parent_death_signal.__file__,
            str(os.getpid()),
            *command,
        ]
        output = log.open("ab") if log else None
        try:
            with _signals_held():
                self._process = subprocess.Popen(
                    tied,
                    env=dict(environment) if environment is not None else None,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout if stdout is not None else output,
                    stderr=output,
                    pass_fds=tuple(pass_fds),
                    start_new_session=True,  # Ctrl-C is for us; we end our children in order
                )
        except BaseException:  # a signal that was held and whose handler raises
            if hasattr(self, "_process"):
                self.kill()
            raise
        finally:
            if output:
                output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def first_line(self, timeout: float) -> str | None:
        """What it printed first (``stdout=subprocess.PIPE``); none when it ended or is late."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        return self._process.stdout.readline().decode().strip() or None if ready else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started_at

    def signal(self, number: int) -> None:
        """Sends a signal to the process, not to its children; nothing when it has ended."""
        if self.exit_code is None:
            self._process.send_signal(number)

    def wait(self, timeout: float) -> bool:
        """Whether it ended within ``timeout`` seconds."""
        try:
            self._process.wait(max(0.0, timeout))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Ends it and what is left of its group at once; also sweeps up after one that died."""
        if self._swept:
            return  # the number of its group may be another's by now
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # the next one is to be killed as well
            self._process.wait(KILL_WAIT)
        self._swept = True
        if self._process.stdout:
            self._process.stdout.close()

    def end(self, grace: float) -> None:
        """SIGTERM, ``grace`` seconds to finish, then SIGKILL to whatever is left."""
        self.signal(signal.SIGTERM)
        self.wait(grace)
        self.kill()
