"""A fleet in memory that throttles, answers late and lies as EC2 does; it passes the same tests."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autoscale.launch_offers import REFUSED_FOR
from autoscale.model import InstanceState, Machine
from facerec_tasks.errors import Unavailable


@dataclass(frozen=True)
class Faults:
    """How often, from 0 to 1, and how late. Seconds."""

    throttled: float = 0.0
    """Calls refused before anything is done."""
    lost: float = 0.0
    """Calls that are carried out and whose answer never comes."""
    late: float = 0.0
    """Listings that show the fleet as it was up to ``lag`` seconds ago."""
    lag: float = 20.0


@dataclass
class _Instance:
    id: str
    token: str
    state: InstanceState
    since: float
    due: float
    """When ``pending``, ``stopping`` or ``shutting-down`` is over."""
    number: int | None = None
    has_run: bool = False
    stop_requested_at: float | None = None
    image: int = 1
    boot_error: str = ""


_NEXT: dict[InstanceState, InstanceState] = {
    "pending": "running",
    "stopping": "stopped",
    "shutting-down": "terminated",
}


class FakeFleet:
    """Implements :class:`autoscale.fleet.Fleet` over a clock of the test's."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        pending: float = 5.0,
        stopping: float = 30.0,
        faults: Faults | None = None,
        seed: int = 0,
    ) -> None:
        self._clock, self._pending, self._stopping = clock, pending, stopping
        self.faults = faults or Faults()
        self._rng = random.Random(seed)
        self._instances: dict[str, _Instance] = {}
        self._tokens: dict[str, list[str]] = {}
        self._history: list[tuple[float, list[Machine]]] = []
        self.boot_error = ""
        """With it, EC2 accepts launches and starts, and the machines end before they run."""
        self.image = 1
        """What is launched from now on; machines of another are outdated."""
        self.most_live = 0
        """The most machines that ever were pending or running at one time."""
        self.calls = 0

    @property
    def truth(self) -> list[Machine]:
        """The fleet as it is, whatever listings say."""
        now = self._clock()
        for instance in self._instances.values():
            if instance.state in _NEXT and now >= instance.due:
                if instance.state == "pending" and self.boot_error:
                    instance.boot_error = self.boot_error
                    instance.state = "stopped" if instance.has_run else "terminated"
                    continue
                instance.boot_error = ""
                instance.has_run = instance.has_run or instance.state == "pending"
                instance.state = _NEXT[instance.state]
        return [
            Machine(
                i.id,
                i.state,
                i.since,
                number=i.number,
                token=i.token,
                stop_requested_at=i.stop_requested_at,
                outdated=i.image != self.image,
                boot_error=i.boot_error,
                refused=bool(i.boot_error) and now - i.since < REFUSED_FOR,
            )
            for i in self._instances.values()
        ]

    def describe(self) -> list[Machine]:
        self._maybe_throttled()
        now, current = self._clock(), self.truth
        self._history = [h for h in self._history if h[0] >= now - self.faults.lag]
        shown = current
        if self._history and self._rng.random() < self.faults.late:
            shown = self._rng.choice(self._history)[1]
        self._history.append((now, current))
        return [replace(machine) for machine in shown]

    def launch(self, count: int, token: str) -> list[str]:
        self._maybe_throttled()
        if token not in self._tokens:
            ids = [f"i-{len(self._instances) + n:04d}" for n in range(count)]
            for one in ids:
                now = self._clock()
                self._instances[one] = _Instance(
                    one, token, "pending", now, now + self._pending, image=self.image
                )
            self._tokens[token] = ids
        self._remember()
        self._maybe_lost()
        return list(self._tokens[token])

    def start(self, ids: Sequence[str]) -> list[str]:
        return self._change(ids, {"stopped"}, "pending", self._pending)

    def stop(self, ids: Sequence[str]) -> list[str]:
        able = [i for i in ids if self._known(i).has_run]
        return self._change(able, {"pending", "running"}, "stopping", self._stopping)

    def terminate(self, ids: Sequence[str]) -> list[str]:
        able: set[InstanceState] = {"pending", "running", "stopping", "stopped"}
        return self._change(ids, able, "shutting-down", self._stopping)

    def name(self, machine_id: str, number: int) -> None:
        self._maybe_throttled()
        self._known(machine_id).number = number

    def _change(
        self, ids: Sequence[str], allowed: set[InstanceState], state: InstanceState, seconds: float
    ) -> list[str]:
        self._maybe_throttled()
        reached = {"pending": {"pending", "running"}, "stopping": {"stopping", "stopped"}}
        accepted = []
        for one in ids:
            instance = self._known(one)
            if instance.state in allowed:
                instance.state, instance.due = state, self._clock() + seconds
                instance.since = self._clock() if state == "pending" else instance.since
                instance.stop_requested_at = (
                    None if state == "pending" else float(int(self._clock()))
                )
            if instance.state in reached.get(state, {"shutting-down", "terminated"}):
                accepted.append(one)
        self._remember()
        self._maybe_lost()
        return accepted

    def _known(self, machine_id: str) -> _Instance:
        self.truth  # noqa: B018  brings states up to date
        return self._instances[machine_id]

    def _remember(self) -> None:
        live = sum(m.live for m in self.truth)
        self.most_live = max(self.most_live, live)

    def _maybe_throttled(self) -> None:
        self.calls += 1
        if self._rng.random() < self.faults.throttled:
            raise Unavailable("RequestLimitExceeded")

    def _maybe_lost(self) -> None:
        if self._rng.random() < self.faults.lost:
            raise Unavailable("the connection was closed before the answer came")
