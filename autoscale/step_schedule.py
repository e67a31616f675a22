"""When the controller takes its next step."""

WORKING = 2.0
RESTING = 20.0
STANDBY = 5.0
"""Seconds between two steps: with work, without, and while another controller acts."""
WATCH = 0.5
"""Seconds between two readings of the requests in flight, which cost nothing."""


class StepSchedule:
    """Every 2 s while there is work or a machine, every 20 s at rest, and at once when the web
    tier shows the first request; where it cannot be read, that waits for the next step."""

    def __init__(self) -> None:
        self.working = True
        """Whether the last step has seen work or a machine."""
        self._last = float("-inf")
        self._outstanding = 0

    def due(self, now: float, outstanding: int | None, *, acting: bool = True) -> bool:
        """``outstanding`` as just read; None when it could not be."""
        waited = now - self._last
        woken = bool(outstanding) and self._outstanding == 0
        self._outstanding = outstanding or 0
        if not acting:
            return waited >= STANDBY
        return woken or waited >= (WORKING if self.working else RESTING) - WATCH / 2

    def stepped(self, now: float) -> None:
        """A step was taken."""
        self._last = now
