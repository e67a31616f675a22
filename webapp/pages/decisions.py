"""Scaling decisions as sentences, for the status page."""

from facerec_tasks.control_schemas import Decision
from facerec_tasks.wording import counted, counted_is

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
    limited = decision.not_more and not decision.not_more.endswith("enough")
    if limited and decision.changes.keys() & {"start", "launch"}:
        sentence += f" Not more: {decision.not_more}."
    if decision.not_less and decision.stop and decision.need:
        sentence += f" Not fewer: {decision.not_less}."
    return sentence


def _action(decision: Decision, action: str, count: int) -> str:
    done, refused = _DONE[action]
    if action in decision.failures:
        return f"{refused} {counted(count, 'machine')} ({decision.failures[action]})"
    return f"{done} {decision.acted(action)}"


def _need(decision: Decision) -> str:
    if decision.waiting is None:
        photos = "An unknown number of photos is"
    else:
        photos = counted_is(decision.waiting, "photo")
        photos = photos[0].upper() + photos[1:]
    return f"{photos} waiting, {counted_is(decision.need, 'machine')} needed: {decision.reason}"
