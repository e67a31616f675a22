"""The record of every step, one JSON object a line, kept in the state bucket.

``controller/decisions/<day>/<time>-<run>.jsonl``: S3 cannot append, so the lines of some minutes
make one object, which is written anew while it grows.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from autoscale.fleet import NAME
from autoscale.model import Machine, ScalingLimits, ScalingPlan
from autoscale.readings import StepReadings
from autoscale.state import StateStore
from facerec_tasks.control_schemas import Decision as Decision
from facerec_tasks.storage import layout

CHUNK = 300.0
"""Seconds whose steps make one object."""
LIMITS = ("cap", "slo", "service", "processes", "boot", "boot_worst", "useful", "least", "season")
"""Of :class:`.ScalingLimits`, those that a decision names."""
GONE = frozenset({"shutting-down", "terminated"})


def states(machines: tuple[Machine, ...]) -> dict[str, int]:
    """How many machines are in each state."""
    found: Counter[str] = Counter(m.state for m in machines)
    found["ready"] = sum(m.live and m.ready is True for m in machines)
    found["busy"] = sum(m.live and m.busy is True for m in machines)
    found["outdated"] = sum(m.outdated and m.state not in GONE for m in machines)
    return {state: n for state, n in found.items() if n}


def record(
    step: str,
    at: float,
    seen: StepReadings,
    machines: tuple[Machine, ...],
    unconfirmed: int,
    plan: ScalingPlan,
    limits: ScalingLimits,
    done: dict[str, Any],
) -> Decision:
    """The line of one step."""
    demand = seen.demand
    return Decision(
        step=step,
        at=round(at, 3),
        **seen.numbers(),
        bound=demand.bound if demand else None,
        waiting=demand.grow if demand else None,
        accepted=demand.accepted if demand else None,
        machines=states(machines),
        unconfirmed=unconfirmed,
        need=plan.need,
        target=plan.target,
        terms=_rounded(asdict(plan.terms)),
        limits=_limits(limits),
        start=plan.start,
        launch=plan.launch,
        stop=plan.stop,
        replace=plan.replace,
        retire=plan.retire,
        causes=_named_causes(plan, machines),
        not_more=plan.not_more,
        not_less=plan.not_less,
        done=done,
        ran=_ran(machines, done, at),
    )


def _named_causes(plan: ScalingPlan, machines: tuple[Machine, ...]) -> dict[str, str]:
    """Why something is done to machines, by name where they have one."""
    names = {m.id: f"{NAME}{m.number} ({m.id})" if m.number else m.id for m in machines}
    causes = {i: "" for i in (*plan.start, *plan.stop)} | dict(plan.causes)
    return {names.get(machine, machine): cause for machine, cause in causes.items()}


def _ran(machines: tuple[Machine, ...], done: dict[str, Any], at: float) -> dict[str, float]:
    accepted = {
        i for action in ("stop", "replace") for i in _ids(done.get(action)) if isinstance(i, str)
    }
    return {
        m.id: round(at - m.running_since, 1)
        for m in machines
        if m.id in accepted and m.running_since is not None
    }


def _ids(result: Any) -> list[Any]:
    """The ids EC2 accepted; an error in words is none."""
    return result if isinstance(result, list) else []


def _limits(limits: ScalingLimits) -> dict[str, Any]:
    fields = {name: getattr(limits, name) for name in LIMITS}
    return _rounded({"profile": limits.profile.name, **fields})


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        k: round(v, 3) if isinstance(v, float) else v
        for k, v in fields.items()
        if isinstance(v, str) or v
    }


class DecisionLog:
    """Keeps the lines of this run of the controller."""

    def __init__(self, state: StateStore, run: str) -> None:
        self._state = state
        self._run = run
        self._lines: list[str] = []
        self._begun = 0.0
        self._unwritten: float | None = None  # time of the oldest line that is not stored

    def add(self, decision: Decision, now: float, *, within: float) -> None:
        """Takes a line; writes all that are new when the oldest has waited ``within`` seconds.

        Raises :class:`facerec_tasks.errors.AwsError`; the lines are kept for the next time.
        """
        if self._lines and now - self._begun >= CHUNK:
            self.flush()
            self._lines = []
        if not self._lines:
            self._begun = now
        self._lines.append(decision.to_json())
        self._unwritten = self._unwritten or now
        if now - self._unwritten >= within:
            self.flush()

    def flush(self) -> None:
        """Writes what has not been written."""
        if self._unwritten is None:
            return
        begun = datetime.fromtimestamp(self._begun, UTC)
        name = f"{layout.DECISIONS}{begun:%Y-%m-%d}/{begun:%H-%M-%S}-{self._run}.jsonl"
        self._state.put(name, ("\n".join(self._lines) + "\n").encode())
        self._state.put(layout.LATEST_DECISION, self._lines[-1].encode())
        self._unwritten = None


def latest(state: StateStore) -> Decision | None:
    """The last that was written, if one was; raises :class:`ValueError` for what is none."""
    found = state.find(layout.LATEST_DECISION)
    return Decision.from_json(found.data) if found else None


def read_last(state: StateStore, count: int) -> list[Decision]:
    """The newest ``count``, oldest first."""
    found: list[Decision] = []
    for name in reversed(state.names(layout.DECISIONS)):
        if len(found) >= count:
            break
        found = _read_one(state, name) + found
    return found[-count:]


def _read_one(state: StateStore, name: str) -> list[Decision]:
    found = state.find(name)
    lines = found.data.decode().splitlines() if found else []
    return [Decision.from_json(line) for line in lines]


def read(state: StateStore, day: str = "") -> Iterator[Decision]:
    """The decisions that were kept, oldest first; ``day`` as ``2026-01-31``, or all."""
    for name in state.names(layout.DECISIONS + day):
        yield from _read_one(state, name)
