"""Signals that end a process, as an exception in its main thread."""

import signal
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ShutdownRequested(BaseException):
    """Raised in the main thread by the first such signal, wherever it is waiting."""


def end_on_signals() -> None:
    """Raise :class:`ShutdownRequested` at the first signal and ignore later ones."""
    # Set even where they are ignored, as SIGINT is in a shell's background job; only nohup's
    # ignored SIGHUP is meant.
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def ignore_signals() -> None:
    """The way down is short and has an end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    ignore_signals()
    raise ShutdownRequested
