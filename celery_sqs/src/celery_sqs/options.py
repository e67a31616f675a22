"""``broker_transport_options`` of the transport, checked."""

from dataclasses import dataclass, fields
from typing import Any, Self

from celery_sqs._aws.queues import MAX_WAIT

LONGEST_VISIBILITY = 12 * 3600
"""Seconds, counted from the receive.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""


@dataclass(frozen=True)
class Options:
    """The members of ``broker_transport_options`` that mean something here."""

    region: str | None = None
    endpoint_url: str | None = None
    """Only for an emulator; by default the SDK's own ``AWS_ENDPOINT_URL`` decides."""
    namespace: str = "celery"
    """Begins the names of topics and of temporary queues, so that applications do not mix."""
    max_message_size: int | None = None
    """Bytes of a task message; a larger one raises :class:`.wire.MessageTooLarge` unsent."""
    visibility_timeout: int = 30
    """Seconds a received message is invisible to others before it is extended."""
    max_extension: int = LONGEST_VISIBILITY
    """Seconds from its receive until a message is extended no further: above any time limit."""
    backoff: tuple[int, int] = (2, 60)
    """First and longest delay in seconds of a message that was given back; it doubles."""
    wait_time_seconds: int = MAX_WAIT
    """Of a long poll. Shorter polls cost calls; a stopping worker waits for its open one."""
    heartbeat_interval: float = 30.0
    """Seconds between the heartbeats of a worker, unless its command line says otherwise."""
    watchdog: float = 60.0
    """Seconds without a poll and with slots free after which a worker ends itself; 0: never."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Raises :class:`ValueError` naming all that cannot work; other members are kombu's."""
        known = {f.name for f in fields(cls)}
        options = cls(**{k: v for k, v in given.items() if k in known and v is not None})
        first, longest = options.backoff
        faults = [
            fault
            for fault, present in (
                ("backoff: 0 < first <= longest <= 43200", not 0 < first <= longest <= 43200),
                (f"wait_time_seconds: 1 to {MAX_WAIT}", not 1 <= options.wait_time_seconds <= 20),
                ("visibility_timeout: at least 3", options.visibility_timeout < 3),
                (
                    "max_extension: at least visibility_timeout",
                    options.max_extension < options.visibility_timeout,
                ),
                (
                    "watchdog: 0, or longer than two long polls",
                    0 < options.watchdog <= 2 * options.wait_time_seconds,
                ),
            )
            if present
        ]
        if faults:
            raise ValueError("broker_transport_options: " + "; ".join(faults))
        return options

    def delay(self, receives: int) -> int:
        """Seconds until a message that was received so often and given back is visible again."""
        first, longest = self.backoff
        return min(longest, first << min(max(receives, 1) - 1, 16))
