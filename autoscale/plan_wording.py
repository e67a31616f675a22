"""Plans as text: the reason for each machine, and why not more or fewer are needed."""

from collections.abc import Collection, Sequence

from autoscale.model import Machine, ScalingPlan
from facerec_tasks.wording import counted_is


def replaced(machine: Machine, now: float) -> str:
    """Why it is replaced."""
    if machine.faulty:
        return machine.fault or "it is faulty"
    if machine.up_since is None:
        return f"its worker has not answered {now - machine.since:.0f} s after its start"
    return "its worker does not answer any more"


def stopped(machine: Machine) -> str:
    """Why it is stopped."""
    if machine.outdated:
        return "of an old image, its successor is up"
    if machine.state == "pending":
        return "still pending and not needed any more"
    if machine.busy:
        return "not needed any more, finishes its tasks first"
    return "idle and not needed any more" if machine.busy is False else "not needed any more"


def retired(machines: Sequence[Machine], retire: Collection[str]) -> tuple[tuple[str, str], ...]:
    """(machine, why it is terminated though it is stopped) pairs."""
    return tuple(
        (m.id, "stopped, of an old image" if m.outdated else "stopped, never to be started again")
        for m in machines
        if m.id in retire
    )


def outdated(count: int, blocked: str) -> str:
    """What becomes of machines of an old image; ``blocked``: why they get no successor now."""
    stay = "stays" if count == 1 else "stay"
    until = "until its successor is up" if count == 1 else "until their successors are up"
    return f"{count} of an old image {stay}" + (f": {blocked}" if blocked else f" {until}")


def not_more(plan: ScalingPlan, live: int) -> str:
    """Why no more machines."""
    if plan.terms.reason == "cap":
        return "the cap is reached"
    if plan.replace:
        return "machines are replaced first"
    if plan.start or plan.launch:
        return f"{counted_is(plan.target, 'machine')} enough"
    return f"{counted_is(plan.need, 'machine')} needed, {live} {'is' if live == 1 else 'are'} there"


def not_less(plan: ScalingPlan, live: int) -> str:
    """Why no fewer."""
    kept = live - len(plan.stop) - len(plan.replace) + len(plan.start) + plan.launch
    if kept == 0:
        return "none is left"
    if plan.target > plan.need:
        was = "machine is" if plan.target == 1 else "machines are"
        return f"{plan.target} {was} kept, for being needed again soon or always"
    if kept > plan.target:
        return "the minute paid for is not used up"
    return f"{counted_is(plan.need, 'machine')} needed"
