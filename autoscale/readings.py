"""The readings of one step of the controller."""

from dataclasses import dataclass, field

from autoscale.model import Demand, Machine
from autoscale.signals import InFlightReading, QueueLengths


@dataclass
class StepReadings:
    """A field that is none could not be had."""

    requests: InFlightReading | None = None
    counts: QueueLengths | None = None
    machines: tuple[Machine, ...] | None = None
    demand: Demand | None = None
    failed: dict[str, str] = field(default_factory=dict)
    """The error by the AWS call that failed."""

    @property
    def work(self) -> bool:
        """Whether any reading shows a task, confirmed or not."""
        counted = self.counts.total if self.counts else 0
        return bool(counted or (self.requests and self.requests.outstanding))

    def numbers(self) -> dict[str, int | None]:
        return {
            "visible": self.counts.visible if self.counts else None,
            "in_flight": self.counts.in_flight if self.counts else None,
            "outstanding": self.requests.outstanding if self.requests else None,
            "answered": self.requests.answered if self.requests else None,
        }
