"""What EC2 says, corrected by what it told us before: its listings are eventually consistent.

For half a minute after a call was accepted a listing may still show the state from before it; a
machine that was there a moment ago may be missing. Both count to the cap until they are certain.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from autoscale.model import InstanceState, Machine

SETTLED = 45.0
"""Seconds after which a listing is believed against what we remember."""

_REACHED: dict[InstanceState, frozenset[InstanceState]] = {
    "pending": frozenset({"pending", "running", "shutting-down", "terminated"}),
    "stopping": frozenset({"stopping", "stopped", "shutting-down", "terminated"}),
    "shutting-down": frozenset({"shutting-down", "terminated"}),
}
"""For a state we asked for, the listed states that show that it has been reached."""


@dataclass(frozen=True)
class ExpectedState:
    """A state EC2 has promised in answer to one of our calls."""

    state: InstanceState
    at: float
    token: str | None = None


class StateReconciler:
    """The fleet as it most probably is."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, Machine]] = {}
        self._expected: dict[str, ExpectedState] = {}
        self._started: dict[str, float] = {}
        self._numbers: dict[str, int] = {}

    def expect(
        self, ids: Iterable[str], state: InstanceState, now: float, token: str | None = None
    ) -> None:
        """Remembers that EC2 has accepted a call that brings these machines to ``state``."""
        for machine in ids:
            self._expected[machine] = ExpectedState(state, now, token)
            if state == "pending":
                self._started[machine] = now

    def expect_nothing(self, ids: Iterable[str]) -> None:
        """EC2 has refused: the next listing is believed."""
        for machine in ids:
            self._expected.pop(machine, None)

    def named(self, machine: str, number: int) -> None:
        """Remembers that EC2 has accepted a name."""
        self._numbers[machine] = number

    def update(self, listed: Sequence[Machine], now: float) -> tuple[Machine, ...]:
        """A listing made at ``now``, with late states corrected and lost machines kept."""
        for machine in listed:
            self._last[machine.id] = (now, self._seen(machine, now))
        self._last = {i: (at, m) for i, (at, m) in self._last.items() if now - at < SETTLED}
        self._expected = {i: e for i, e in self._expected.items() if now - e.at < SETTLED}
        self._forget(self._last.keys() | self._expected.keys())
        return self.machines

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The fleet by the last listing and all that was asked for since, oldest start first."""
        known = {i: m for i, (_, m) in self._last.items()}
        for i, expected in self._expected.items():
            if not _believed(known.get(i), expected):
                known[i] = _corrected(i, known.get(i), expected)
        named = (replace(m, number=self._numbers.get(m.id, m.number)) for m in known.values())
        return tuple(sorted(named, key=lambda m: (m.since, m.id)))

    def _forget(self, known: Collection[str]) -> None:
        self._started = {i: at for i, at in self._started.items() if i in known}
        self._numbers = {i: n for i, n in self._numbers.items() if i in known}

    def _seen(self, machine: Machine, now: float) -> Machine:
        """With our own knowledge of its start and of when it was first seen running."""
        since = max(machine.since, self._started.get(machine.id, 0.0))
        machine = replace(machine, since=since)
        if machine.state != "running":
            return machine
        before = self._last.get(machine.id)
        if before and before[1].running_since is not None and before[1].since == machine.since:
            return replace(machine, running_since=before[1].running_since)
        first = now if before else machine.since  # ran before we came: at most since its start
        return replace(machine, running_since=first)


def _believed(listed: Machine | None, expected: ExpectedState) -> bool:
    """The state has been reached, or somebody else has told the machine to stop since."""
    if listed is None:
        return False
    later = listed.stop_requested_at is not None and listed.stop_requested_at > expected.at
    return later or listed.state in _REACHED[expected.state]


def _corrected(machine_id: str, known: Machine | None, expected: ExpectedState) -> Machine:
    if known is None:
        return Machine(machine_id, expected.state, expected.at, token=expected.token)
    since = expected.at if expected.state == "pending" else known.since
    return replace(known, state=expected.state, since=since, running_since=None)
