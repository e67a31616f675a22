"""One thread per queue: reserve, long poll, back off, never die, deliver.

Stock kombu polls from the worker's event loop, where one throttled or dropped poll ends or freezes
the worker. Here a poll may fail in any way; it costs a pause and a line in the log.
"""

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery.utils.log import get_logger

from celery_sqs._aws.client import EXPIRED, error_code
from celery_sqs._broker.flow_control import FlowControl, Reservation
from celery_sqs._broker.held_messages import HeldMessage
from celery_sqs._worker.circuit_breaker import CircuitBreaker

if TYPE_CHECKING:
    from celery_sqs._broker.consuming import WorkerConsumer

logger = get_logger(__name__)

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 15.0
"""Between polls while they fail; doubling."""
HEAD_START_SECONDS = 0.01
"""Before the next poll after one that brought a single message although more were asked for: its
task then starts, ends and sends its result first. Only one thread of a process can prepare a call
at a time, and the poll would slow all of that."""
IDLE_SECONDS = 5.0
"""A receiver without a free slot waits before it looks whether it was told to stop."""


@dataclass
class ReceiverHealth:
    """How a receiver does."""

    last_poll: float
    """Monotonic seconds when a poll last began or ended."""
    failures: int = 0
    """Polls that failed, none in between that did not."""
    refused_since: float | None = None
    """Monotonic seconds since when AWS refuses the credentials of every poll."""


class Receiver(threading.Thread):
    """Receives from one queue until it is told to stop; an open poll is then still awaited."""

    def __init__(
        self, queue: str, consumer: "WorkerConsumer", flow: FlowControl, breaker: CircuitBreaker
    ) -> None:
        super().__init__(name=f"sqs-receiver-{queue}", daemon=True)
        self.queue = queue
        self.health = ReceiverHealth(time.monotonic())
        self._consumer = consumer
        self._flow = flow
        self._breaker = breaker
        self._stopped = threading.Event()
        self._idle = True
        """The last poll was empty."""
        self._alone = False
        """It brought a single message although more were asked for."""

    def stop(self) -> None:
        """Asks for no further poll. What the open one still brings is given back."""
        self._stopped.set()
        self._flow.wake()
        self._breaker.wake()

    @property
    def stopping(self) -> bool:
        return self._stopped.is_set()

    @property
    def has_capacity(self) -> bool:
        """There are free slots, so a poll should be open or have ended a moment ago."""
        return self.is_alive() and not self.stopping and self._flow.free > 0

    def run(self) -> None:
        while not self.stopping:
            reservation = self._flow.reserve(
                self.queue, idle=self._idle, timeout=IDLE_SECONDS, unless=self._stopped.is_set
            )
            self._note_progress()
            if reservation.messages:
                if self._alone:
                    self._stopped.wait(HEAD_START_SECONDS)
                admitted = self._breaker.admit(reservation.messages, unless=self._stopped.is_set)
                self._note_progress()
                self._receive(admitted, reservation)

    def _receive(self, at_most: int, reservation: Reservation) -> None:
        messages: list[HeldMessage] = []
        error: Exception | None = None
        try:
            if at_most:
                messages = self._consumer.poll(self.queue, at_most, brief=reservation.brief)
        except Exception as caught:  # noqa: BLE001 - no failure of AWS or the network may end this thread
            error = caught
        if self.stopping:
            self._consumer.give_back(messages)
            messages = []
        self._consumer.deliver(self.queue, messages, reservation)
        if error is not None:
            self._back_off(error)
            return
        self.health.failures = 0
        self.health.refused_since = None
        self._idle = not messages
        self._alone = len(messages) == 1 < at_most
        self._note_progress()

    def _back_off(self, error: Exception) -> None:
        self.health.failures += 1
        pause = retry_seconds(self.health.failures)
        logger.warning(
            "receiving from %s failed (%d in a row), again in %.1f s: %r",
            self.queue, self.health.failures, pause, error,
        )  # fmt: skip
        self._stopped.wait(pause)
        if error_code(error) not in EXPIRED:
            self.health.refused_since = None
        elif self.health.refused_since is None:
            self.health.refused_since = time.monotonic()
        self._note_progress()

    def _note_progress(self) -> None:
        self.health.last_poll = time.monotonic()


def retry_seconds(failures: int) -> float:
    """Doubling, with up to a quarter more so that a fleet does not come back as one."""
    longest: float = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10))
    return longest * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, not a secret
