"""Scaling decisions as sentences, for the status page."""

from facerec_tasks.control_schemas import Decision

_DONE = {
    "start": ("Started", "Could not start"),
    "launch": ("Launched", "Could not launch"),
    "stop": ("Stopped", "Could not stop"),
    "replace": ("Replaced", "Could not replace"),
    "retire": ("Retired", "Could not retire"),
}


def summary(decision: Decision) -> str:
    """One decision in a few sentences: what was done, how many machines are needed, and why."""
    actions = [_action(decision, action, count) for action, count in decision.changes.items()]
    sentence = f"{' and '.join(actions) or 'Changed nothing'}. {_need(decision)}."
    limited = decision.not_more and not decision.not_more.endswith("are enough")
    if limited and decision.changes.keys() & {"start", "launch"}:
        sentence += f" Not more: {decision.not_more}."
    if decision.not_less and decision.stop and decision.need:
        sentence += f" Not fewer: {decision.not_less}."
    return sentence


def _action(decision: Decision, action: str, count: int) -> str:
    done, refused = _DONE[action]
    machines = f"{count} machine{'' if count == 1 else 's'}"
    if action in decision.failures:
        return f"{refused} {machines} ({decision.failures[action]})"
    return f"{done} {machines}"


def _need(decision: Decision) -> str:
    waiting = {None: "An unknown number of photos is", 0: "No photo is", 1: "1 photo is"}
    photos = waiting.get(decision.waiting, f"{decision.waiting} photos are")
    machines = {0: "no machine is", 1: "1 machine is"}.get(
        decision.need, f"{decision.need} machines are"
    )
    return f"{photos} waiting, {machines} needed: {decision.reason}"
