"""The controller's steps as it writes them down, read without knowing the controller.

One JSON object a line below ``controller/decisions/`` (``autoscale/decisions.py`` writes them). A
field that is missing is empty; a line that is no step is left out.
"""

import json
from dataclasses import dataclass, field
from typing import Any

_BECAUSE = {
    "rest": "nothing is left to do",
    "one": "one machine does it in time",
    "hedge": "one slow boot alone would be too late",
    "rate": "photos arrive at {rate:.1f} a second and a machine does {capacity:.1f}",
    "backlog": "{backlog:.0f} would still wait when a new one is up",
    "profile": "the profile {profile} wants a machine for every few photos that wait",
    "cap": "more would help, but the cap is {cap}",
    "unknown": "how much there is to do could not be read",
}
_DONE = {
    "start": ("Started", "Could not start"),
    "launch": ("Launched", "Could not launch"),
    "stop": ("Stopped", "Could not stop"),
    "replace": ("Replaced", "Could not replace"),
}


@dataclass(frozen=True)
class Step:
    """What the controller saw and did at a moment, in Unix seconds."""

    at: float
    visible: int | None = None
    in_flight: int | None = None
    waiting: int | None = None
    machines: dict[str, int] = field(default_factory=dict)
    need: int = 0
    target: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    """How many machines were to be started, launched, stopped and replaced."""
    failures: dict[str, str] = field(default_factory=dict)
    """EC2's words, by what it refused."""
    terms: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    ran: tuple[float, ...] = ()
    """Seconds that the machines which end with this step have been running."""
    not_more: str = ""
    not_less: str = ""

    @property
    def booting(self) -> int:
        """Running machines whose worker has not answered yet."""
        return max(0, self.machines.get("running", 0) - self.machines.get("ready", 0))


def read(data: bytes) -> tuple[Step, ...]:
    """The steps of one object, oldest first."""
    steps = (_step(line) for line in data.decode(errors="replace").splitlines())
    return tuple(step for step in steps if step is not None)


def _step(line: str) -> Step | None:
    try:
        fields = json.loads(line)
        return Step(
            at=float(fields["at"]),
            visible=fields.get("visible"),
            in_flight=fields.get("in_flight"),
            waiting=fields.get("waiting"),
            machines=dict(fields.get("machines", {})),
            need=int(fields["need"]),
            target=int(fields["target"]),
            changes=_changes(fields),
            failures={k: v for k, v in fields.get("done", {}).items() if isinstance(v, str)},
            terms=dict(fields.get("terms", {})),
            limits=dict(fields.get("limits", {})),
            ran=tuple(float(seconds) for seconds in fields.get("ran", {}).values()),
            not_more=str(fields.get("not_more", "")),
            not_less=str(fields.get("not_less", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _changes(fields: dict[str, Any]) -> dict[str, int]:
    counts = {kind: len(fields.get(kind, ())) for kind in ("start", "stop", "replace")}
    counts["launch"] = int(fields.get("launch", 0))
    return {kind: counts[kind] for kind in _DONE if counts[kind]}


def words(step: Step) -> str:
    """One step as people would tell it."""
    told = [_told(step, kind, count) for kind, count in step.changes.items()]
    sentence = f"{' and '.join(told) or 'Changed nothing'}. {_need(step)}."
    told_more = step.not_more and not step.not_more.endswith("are enough")
    if told_more and step.changes.keys() & {"start", "launch"}:
        sentence += f" Not more: {step.not_more}."
    if step.not_less and "stop" in step.changes and step.need:
        sentence += f" Not fewer left: {step.not_less}."
    return sentence


def _told(step: Step, kind: str, count: int) -> str:
    done, refused = _DONE[kind]
    told = f"{count} machine{'' if count == 1 else 's'}"
    if kind in step.failures:
        return f"{refused} {told} ({step.failures[kind]})"
    return f"{done} {told}"


def _need(step: Step) -> str:
    todo = {None: "An unknown number of photos", 0: "No photo", 1: "1 photo"}
    photos = todo.get(step.waiting, f"{step.waiting} photos")
    values: dict[str, Any] = {"rate": 0.0, "capacity": 0.0, "backlog": 0.0, "cap": 0, "profile": ""}
    values |= step.limits | step.terms
    because = _BECAUSE.get(str(step.terms.get("reason", "rest")), "").format(**values)
    machines = "no machine is" if step.need == 0 else "1 machine is"
    if step.need > 1:
        machines = f"{step.need} machines are"
    return f"{photos} to do, so {machines} needed" + (f": {because}" if because else "")
