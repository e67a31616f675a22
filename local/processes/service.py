"""One supervised command: restarted when it ends, with growing pauses."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.processes.child import Child

log = logging.getLogger(__name__)

FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
"""Seconds between a death and the next start: doubled with each early death, up to this."""
LAST_LINES = 15
"""Of a log, that tell why a service died."""
HEALTHY_AFTER = 5.0
"""Seconds of life after which a death counts as the first again."""


def restart_delay(early_deaths: int) -> float:
    """Seconds to wait before the next start after that number of deaths in a row."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** max(0, early_deaths - 1))


@dataclass(frozen=True)
class ServiceSpec:
    """What to run."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool] = lambda: True
    """Whether it does its work; asked again and again while it starts."""
    pass_fds: tuple[int, ...] = ()
    """Listening sockets the command inherits: they outlive it, so no client is refused."""


class Service:
    """A :class:`ServiceSpec` and the process that runs it, if one does."""

    def __init__(self, spec: ServiceSpec) -> None:
        self.spec = spec
        self._child: Child | None = None
        self._early_deaths = 0
        self._due: float | None = None
        """``time.monotonic()`` of the next start, while it is dead."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """Its process, also one that has just died."""
        return self._child.pid if self._child else None

    @property
    def ended(self) -> bool:
        return self._child is None or self._child.exit_code is not None

    @property
    def exit_code(self) -> int | None:
        return self._child.exit_code if self._child else None

    def start(self) -> None:
        """Starts the command, whose output goes to the end of the log."""
        d = self.spec
        self._child = Child(d.command, environment=d.environment, log=d.log, pass_fds=d.pass_fds)
        self._due = None

    def restart(self, now: float) -> bool:
        """Starts it again if it has died and the delay is over; whether it did.

        What its death left behind of its process group is killed first.
        """
        if self._child is None or self._child.exit_code is None:
            return False
        if self._due is None:
            self._bury(self._child, now)
        if self._due is None or now < self._due:
            return False
        self.start()
        log.info("started %s again, process %s", self.name, self.pid)
        return True

    def _bury(self, child: Child, now: float) -> None:
        child.kill()
        self._early_deaths = 1 if child.age > HEALTHY_AFTER else self._early_deaths + 1
        delay = restart_delay(self._early_deaths)
        self._due = now + delay
        log.warning(
            "%s (process %s) ended with %s; starting it again in %.1f s; see %s",
            self.name, child.pid, child.exit_code, delay, self.spec.log,
        )  # fmt: skip

    def signal(self, number: int) -> None:
        """Sends its process a signal, if it runs."""
        if self._child:
            self._child.signal(number)

    def kill(self) -> None:
        """Ends the process and its children at once."""
        if self._child:
            self._child.kill()

    def last_lines(self) -> str:
        """The end of its log."""
        try:
            lines = self.spec.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-LAST_LINES:])
