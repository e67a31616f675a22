"""What the web tier and the controller exchange: requests in flight and scaling decisions.

Both sides import this module, so a field has one name, one type and one parser. The web tier
serves :class:`InFlightReport` as ``GET /internal/in-flight``; the controller writes one
:class:`Decision` a line below ``controller/decisions/`` in the state bucket. Parsers raise
:class:`ValueError` (:class:`pydantic.ValidationError` is one) and ignore unknown fields.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, field
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from facerec_tasks.wording import counted, counted_is, listed

_FROZEN = ConfigDict(extra="ignore", allow_inf_nan=False)
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=_FROZEN)
class ProcessReport:
    """Requests in flight of one web process. Times are Unix seconds."""

    process: str
    """``<machine>-<slot>``: the same after a restart."""
    epoch: str
    """Changes with every start of the process; the counters begin at zero then."""
    started_at: float
    accepted: Count
    """Tasks that SQS has acknowledged since the start."""
    answered: Count
    outstanding: Count
    """Accepted and not answered yet."""
    videos: Count = 0
    """Of the outstanding; a video occupies a worker process for long."""
    oldest_accepted_at: float | None = None
    """``None`` when nothing is outstanding."""


@dataclass(frozen=True, config=_FROZEN)
class InFlightReport:
    """The body of ``GET /internal/in-flight``."""

    processes: tuple[ProcessReport, ...]

    @property
    def outstanding(self) -> int:
        return sum(process.outstanding for process in self.processes)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "outstanding": self.outstanding}

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        return _report.validate_json(data)  # type: ignore[return-value]


_report = TypeAdapter(InFlightReport)


@dataclass(frozen=True, config=_FROZEN)
class Decision:
    """One step of the controller: readings, terms of the scaling formula, decision, outcome."""

    step: str
    at: float
    """Unix seconds."""
    visible: int | None = None
    in_flight: int | None = None
    outstanding: int | None = None
    bound: str | None = None
    """Whether ``waiting`` is ``exact``, a ``lower`` or ``upper`` bound, or by ``counts`` alone."""
    waiting: int | None = None
    """Photos to do; ``None`` when it could not be read."""
    accepted: float | None = None
    machines: dict[str, int] = field(default_factory=dict)
    """How many are in each state; ``ready`` and ``busy`` among the running ones as far as known,
    ``outdated`` among all."""
    unconfirmed: int = 0
    need: int = 0
    target: int = 0
    terms: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    start: tuple[str, ...] = ()
    launch: int = 0
    stop: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    causes: dict[str, str] = field(default_factory=dict)
    """Why a machine is started, stopped, replaced or retired, by ``name (id)``, or id alone."""
    not_more: str = ""
    not_less: str = ""
    done: dict[str, Any] = field(default_factory=dict)
    """What EC2 accepted, or its error message, by action; errors of readings by AWS call."""
    ran: dict[str, float] = field(default_factory=dict)
    """Seconds that the instances which end with this step have been running."""
    answered: int | None = None
    """Tasks the web tier has answered since it started."""

    @property
    def changes(self) -> dict[str, int]:
        """How many instances each action concerns; actions without any are left out."""
        counts = {
            "start": len(self.start),
            "launch": self.launch,
            "stop": len(self.stop),
            "replace": len(self.replace),
            "retire": len(self.retire),
        }
        return {action: count for action, count in counts.items() if count}

    @property
    def failures(self) -> dict[str, str]:
        """EC2's error message by action."""
        return {action: text for action, text in self.done.items() if isinstance(text, str)}

    @property
    def booting(self) -> int:
        """Running instances whose worker has not answered yet."""
        return max(0, self.machines.get("running", 0) - self.machines.get("ready", 0))

    @property
    def reason(self) -> str:
        """Why :attr:`need` is what it is, as a clause without a full stop."""
        values = _DEFAULT_TERMS | self.limits | self.terms
        reason = str(self.terms.get("reason", "unknown" if self.waiting is None else "rest"))
        try:
            if reason == "deadline":
                return _by_deadline(values, self.need, self.waiting or 0)
            return REASONS.get(reason, reason).format(**values)
        except (ValueError, TypeError):  # a number that is none
            return reason

    def acted(self, action: str) -> str:
        """The machines of one action, each with its cause: ``a and b: they are idle``."""
        if action == "launch":
            return counted(self.launch, "new machine")
        by_cause: dict[str, list[str]] = {}
        for machine in getattr(self, action):
            name = next((n for n in self.causes if n in (machine, _named(n, machine))), machine)
            by_cause.setdefault(self.causes.get(name, ""), []).append(name)
        return "; ".join(
            f"{listed(names)}: {cause}" if cause else listed(names)
            for cause, names in by_cause.items()
        )

    def to_json(self) -> str:
        fields = {k: v for k, v in asdict(self).items() if v not in (None, (), {}, "")}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """Raises :class:`ValueError` for a line that is no decision."""
        fields = json.loads(line)
        if not isinstance(fields, dict) or not {"step", "at", "need", "target"} <= fields.keys():
            raise ValueError("not a decision: step, at, need or target is missing")
        return _decision.validate_python(fields)  # type: ignore[return-value]


_decision = TypeAdapter(Decision)


def _named(name: str, machine: str) -> str:
    """``name`` if it is that of the machine with this id."""
    return name if name.endswith(f" ({machine})") else ""


def _by_deadline(terms: dict[str, Any], need: int, waiting: int) -> str:
    """The sum that decided, so that it can be done again."""
    due, done, there = round(terms["due"]), round(terms["done"]), int(terms["there"])
    is_due = f"{counted_is(due, 'photo')} to be done within {terms['within']:.0f} s"
    if due > waiting:
        is_due += f" ({due - waiting} of them expected while a machine boots)"
    if not there:
        return f"{is_due}, and a new machine does {terms['each']:.0f} by then"
    if need <= there:
        return f"{is_due}, for which {counted_is(need, 'machine')} enough"
    theirs = "the machine there does" if there == 1 else f"the {there} machines there do"
    left = f"the {due - done} left" if due > done else "what is left"
    return f"{is_due}; {theirs} {done} by then, and a new one {terms['each']:.0f} of {left}"


REASONS = {
    "rest": "there is nothing to do",
    "one": "one machine does the work in time",
    "hedge": "no machine is running, and the slowest boot alone would miss {slo:g} s, so two start",
    "rate": "{rate:.2f} photos a second arrive and a machine does {capacity:.2f} a second",
    "saturated": "with more machines than {useful} no more work was done",
    "backlog": "photos expected to wait when a new machine is ready: {backlog:.0f}; a machine does "
    "{capacity:.2f} a second",
    "profile": "the profile {profile} starts a machine for every few waiting photos",
    "cap": "more would help, but the limit of machines is {cap}",
    "unlisted": "the machines could not be listed",
    "unknown": "the number of waiting photos could not be read",
}
"""Why a number of instances is needed, by ``terms.reason``. ``facerec fleet explain`` and the
status page both show these."""
_DEFAULT_TERMS: dict[str, Any] = {
    "rate": 0.0, "capacity": 0.0, "backlog": 0.0, "within": 0.0, "due": 0.0,
    "done": 0.0, "each": 0.0, "there": 0, "useful": 0, "slo": 0.0, "cap": 0, "profile": "",
}  # fmt: skip


def read_decisions(data: bytes) -> Iterator[Decision]:
    """The decisions of one object, oldest first; a line that is no decision is left out."""
    for line in data.decode(errors="replace").splitlines():
        try:
            yield Decision.from_json(line)
        except ValueError:
            continue
