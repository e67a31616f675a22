"""Reads queue counts and machine states for the status page while it is open."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from celery_sqs import queues
from facerec_tasks.aws import client, translated
from facerec_tasks.errors import AwsError
from facerec_tasks.settings import Settings

MEMBER_TAG = "facerec-fleet"
"""Whose value is the system's id on every machine of its fleet; the controller's name for it."""
REST = 10.0
"""Seconds between two questions to AWS while nothing is to be seen: the requests in
flight show the first photo for free."""


@dataclass(frozen=True)
class AwsReading:
    """One moment, in Unix seconds. None is what could not be had."""

    at: float
    visible: int | None = None
    in_flight: int | None = None
    dead: int | None = None
    """Messages in the dead-letter queue."""
    machines: dict[str, int] | None = None
    """How many are in each of EC2's states."""
    faults: tuple[str, ...] = ()

    @property
    def at_rest(self) -> bool:
        """Nothing waits, no machine is up or on its way; nothing could not be read."""
        if self.machines is None or self.visible is None or self.in_flight is None:
            return False
        live = sum(self.machines.values()) - self.machines.get("stopped", 0)
        live -= self.machines.get("terminated", 0)
        return not (self.visible or self.in_flight or live)


class AwsReader:
    """For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._urls: dict[str, str] = {}

    def take(self, now: float) -> AwsReading:
        """Three calls to AWS; never raises what AWS refuses."""
        found: dict[str, Any] = {}
        faults: list[str] = []
        try:
            held = self._counts(self._settings.request_queue)
            found |= {"visible": held.visible, "in_flight": held.in_flight}
            found["dead"] = self._counts(self._settings.dead_letter_queue).total
        except AwsError as error:
            faults.append(f"The queue cannot be counted now: {error}")
        try:
            found["machines"] = self._machines()
        except AwsError as error:
            faults.append(f"The machines are the controller's last word, EC2 refused ours: {error}")
        return AwsReading(now, **found, faults=tuple(faults))

    def _counts(self, queue: str) -> queues.Counts:
        sqs = client(self._settings, "sqs")
        with translated():
            if queue not in self._urls:
                self._urls[queue] = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
            return queues.counts_of(sqs, self._urls[queue])

    def _machines(self) -> dict[str, int]:
        ec2 = client(self._settings, "ec2")
        members = {"Name": f"tag:{MEMBER_TAG}", "Values": [self._settings.id]}
        with translated():
            pages = ec2.get_paginator("describe_instances").paginate(Filters=[members])  # type: ignore[list-item]
            states: Counter[str] = Counter(
                instance["State"]["Name"]
                for page in pages
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
            )
        return dict(states)


class PacedReader:
    """Asks seldom while nothing is to be seen."""

    def __init__(self, take: Callable[[float], AwsReading]) -> None:
        self._take = take
        self._last: AwsReading | None = None
        self._asked_at = float("-inf")

    def take(self, now: float, outstanding: int) -> AwsReading:
        """The moment ``now``; at rest, and with no request outstanding, the last one again."""
        resting = self._last is not None and self._last.at_rest and not outstanding
        if self._last is not None and resting and now - self._asked_at < REST:
            self._last = replace(self._last, at=now)
        else:
            self._asked_at = now
            self._last = self._take(now)
        return self._last
