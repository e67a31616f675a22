"""Decisions in plain words: readings, the formula's result, actions, why not more and not fewer."""

from datetime import UTC, datetime

from facerec_tasks.control_schemas import Decision
from facerec_tasks.wording import counted

READ_BY = {"DescribeInstances": "The fleet", "GetQueueAttributes": "The queue"}
"""What is read by an AWS call."""


def explain(decision: Decision) -> str:
    """One decision as a short paragraph."""
    when = datetime.fromtimestamp(decision.at, UTC)
    parts = [
        f"{when:%Y-%m-%d %H:%M:%S} UTC, step {decision.step}:",
        _seen(decision),
        _fleet(decision),
        _need(decision),
        _done(decision),
    ]
    if decision.not_more:
        parts.append(f"Not more: {decision.not_more}. Not fewer: {decision.not_less}.")
    return " ".join(part for part in parts if part)


def _seen(decision: Decision) -> str:
    failed = " ".join(
        f"{READ_BY[call]} could not be read: {call} failed ({error})."
        for call, error in decision.failures.items()
        if call in READ_BY
    )
    if decision.waiting is None:
        return f"{failed or 'The work could not be counted.'} So nothing is changed."
    return f"{_work(decision)} {failed}".strip()


def _work(decision: Decision) -> str:
    assert decision.waiting is not None
    readings = []
    if decision.outstanding is not None:
        quality = {"exact": "exactly", "lower": "at least", "upper": "at most"}
        readings.append(
            f"the web tier waits for {quality.get(decision.bound or '', '')} "
            f"{decision.outstanding}".replace("  ", " ")
        )
    if decision.visible is not None:
        readings.append(
            f"the queue counts {decision.visible} visible and {decision.in_flight} in flight"
        )
    photos = counted(decision.waiting, "photo")
    return f"{photos[0].upper()}{photos[1:]} to do ({'; '.join(readings)})."


def _fleet(decision: Decision) -> str:
    states = [
        f"{decision.machines[state]} {state}"
        for state in ("pending", "running", "ready", "busy", "stopping", "stopped")
        if decision.machines.get(state)
    ]
    if decision.unconfirmed:
        states.append(f"{decision.unconfirmed} asked for and not confirmed")
    when = " as last listed" if "DescribeInstances" in decision.failures else ""
    return f"Machines{when}: {', '.join(states) or 'none'}."


def _need(decision: Decision) -> str:
    held = f", held at {decision.target}" if decision.target != decision.need else ""
    if held and decision.limits.get("season"):
        held += f", as {counted(decision.limits['season'], 'photo')} came at this time before"
    return f"Needed: {decision.need} ({decision.reason}){held}."


def _done(decision: Decision) -> str:
    changes = "; ".join(f"{a} {decision.acted(a)}" for a in decision.changes)
    words = f"Decided: {changes}." if changes else "Nothing is changed."
    failed = [f"{a} failed ({e})" for a, e in decision.failures.items() if a not in READ_BY]
    return f"{words} But {'; '.join(failed)}." if failed else words
