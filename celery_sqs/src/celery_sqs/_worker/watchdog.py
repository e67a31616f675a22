"""Ends a worker that has stopped receiving without knowing it.

An outage of AWS ends no worker: a poll that fails is progress. A receiver is stuck when it is dead,
when it does not poll although there are slots free, or when AWS refuses its credentials all the
time. Another start of the process is then the only cure, and the service manager's task.
"""

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from billiard import active_children
from celery.utils.log import get_logger

from celery_sqs._broker.receiver import Receiver

logger = get_logger(__name__)

EXIT_CODE = 70
"""``EX_SOFTWARE`` of sysexits.h."""
STDERR = 2
TICKS = 12
"""Looks per limit."""


class Watchdog(threading.Thread):
    """Looks after receivers; ``end`` is called once, when one of them is stuck."""

    def __init__(
        self,
        receivers: Callable[[], Iterable[Receiver]],
        limit: float,
        end: Callable[[], None] | None = None,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """``wait`` pauses for its argument's seconds between two looks; true ends the thread."""
        super().__init__(name="sqs-watchdog", daemon=True)
        self._receivers = receivers
        self._limit = limit
        self._end = end or end_process
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        tick = self._limit / TICKS
        since = looked = time.monotonic()
        while not self._wait(tick):
            now = time.monotonic()
            if now - looked > 2 * tick:
                since = now  # we were frozen ourselves: everybody gets another chance
            looked = now
            stuck = [r for r in self._receivers() if is_stuck(r, now, since, self._limit)]
            if stuck:
                names = ", ".join(receiver.queue for receiver in stuck)
                logger.critical("no poll of %s for %.0f s: ending this worker", names, self._limit)
                self._end()
                return


def is_stuck(receiver: Receiver, now: float, since: float, limit: float) -> bool:
    """Whether it should have ended a poll within ``limit`` seconds and did not.

    ``since`` is the monotonic second from which on its silence counts.
    """
    refused = receiver.health.refused_since
    if refused is not None and now - max(refused, since) >= limit and not receiver.stopping:
        return True
    if receiver.stopping or now - max(receiver.health.last_poll, since) < limit:
        return False
    return not receiver.is_alive() or receiver.has_capacity


def end_process() -> None:
    """Ends this process and its children at once; SQS gives their tasks to others."""
    with suppress(OSError, ValueError):
        faulthandler.dump_traceback(file=STDERR)  # Celery replaces sys.stderr
    for child in active_children():
        os.kill(child.pid, signal.SIGKILL)
    os._exit(EXIT_CODE)
