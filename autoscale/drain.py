"""Scale-in for long tasks, in two phases: take nothing new, confirmed; when nothing is left, stop.

For tasks of less than a minute stopping is the drain: the machine's shutdown sends the worker
SIGTERM and waits for it. A longer task would be killed by that shutdown.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from autoscale.model import Machine, ScalingPlan

logger = logging.getLogger(__name__)

LONG_TASK = 60.0
"""Seconds of a task up to which stopping a machine is its drain."""

CancelConsumers = Callable[[Sequence[str]], Collection[str]]
"""Names of workers -> those that have confirmed that they take nothing more."""


class DrainTracker:
    """The machines that are on their way out."""

    def __init__(self, cancel: CancelConsumers, longest: float) -> None:
        """``longest``: seconds after which a worker that says nothing is taken for done."""
        self._cancel, self._longest = cancel, longest
        self._since: dict[str, float] = {}

    def mark(self, machines: Sequence[Machine]) -> tuple[Machine, ...]:
        """The machines, with those that drain marked; one that is gone is forgotten."""
        live = {m.id for m in machines if m.live}
        self._since = {i: at for i, at in self._since.items() if i in live}
        return tuple(replace(m, draining=m.id in self._since) for m in machines)

    def phased(
        self,
        plan: ScalingPlan,
        machines: Sequence[Machine],
        node: Callable[[str], str | None],
        now: float,
    ) -> ScalingPlan:
        """The plan with stops only for what has drained; what it wants stopped begins to drain.

        ``node`` gives the name of a machine's worker. A machine that has never run is stopped.
        """
        if plan.start or plan.launch or plan.replace:
            return plan
        pending = {m.id for m in machines if m.state == "pending"}
        self.begin({i: node(i) for i in plan.stop if i not in pending}, now)
        at_once = [i for i in plan.stop if i in pending]
        return replace(plan, stop=(*at_once, *self.done(machines, now)))

    def begin(self, nodes: Mapping[str, str | None], now: float) -> None:
        """Phase one, for these machines (worker's name by id): only a confirmation counts.

        A worker that was never heard holds nothing: its machine is done at once.
        """
        for machine, node in nodes.items():
            if node is None:
                self._since.setdefault(machine, now - self._longest)
        known = {node: machine for machine, node in nodes.items() if node is not None}
        if not known:
            return
        try:
            confirmed = self._cancel(list(known))
        except Exception as error:  # noqa: BLE001  whatever the broker raises: none has confirmed
            logger.warning("the workers could not be told to take nothing more: %s", error)
            return
        for node in confirmed:
            self._since.setdefault(known[node], now)

    def done(self, machines: Sequence[Machine], now: float) -> tuple[str, ...]:
        """Phase two: those that have said since that they hold nothing, or have had their time."""
        return tuple(
            m.id
            for m in machines
            if m.id in self._since
            and (
                (m.busy is False and now > self._since[m.id])
                or now - self._since[m.id] >= self._longest
            )
        )
