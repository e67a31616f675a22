"""Executes a plan: one batched call per action, pauses after failures, no launch repeated."""

import logging
from collections.abc import Callable, Sequence
from itertools import islice

from autoscale.ec2_errors import AWS_CALL_ERRORS, InsufficientCapacity
from autoscale.fleet import Fleet, names_due
from autoscale.launcher import Launcher
from autoscale.model import InstanceState, Machine, ScalingPlan
from autoscale.reconciler import StateReconciler
from facerec_tasks.backoff import Backoff
from facerec_tasks.errors import Unavailable

logger = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
MOST_NAMED = 20
"""Machines that get their name in one step: each is a call of its own."""
ACTIONS = ("launch", "start", "stop", "cancel", "replace", "retire", "name")

ActionResult = list[str] | str
"""The ids EC2 accepted, or the error in words."""


class PlanExecutor:
    """The one that acts on the fleet, and knows what it has asked of it.

    ``allowed`` is asked before every call: no call may be running when another controller acts.
    """

    def __init__(
        self, fleet: Fleet, launches: Launcher, mode: str, allowed: Callable[[], bool]
    ) -> None:
        self._fleet, self._launches, self._mode = fleet, launches, mode
        self._allowed = allowed
        self._reconciler = StateReconciler()
        self._unsure: frozenset[str] = frozenset()
        """Machines whose start was never answered: they count, and are asked again."""
        self._pauses = {action: Backoff(FIRST_PAUSE, LONGEST_PAUSE) for action in ACTIONS}

    @property
    def unconfirmed(self) -> int:
        """Machines that an open launch may have made and that no listing shows."""
        return self._launches.open.count if self._launches.open else 0

    def recover(self, now: float) -> None:
        """Takes over what another controller, or an earlier run, has asked for lately."""
        asked = self._launches.recover(now)
        for launch in asked.launches:
            self._reconciler.expect(launch.ids or (), "pending", launch.asked_at, launch.token)
        for machine, at in asked.starts:
            self._reconciler.expect([machine], "pending", at)

    def machines(self, now: float) -> tuple[Machine, ...]:
        """The fleet as it most probably is. Raises what :meth:`Fleet.describe` raises."""
        machines = self._reconciler.update(self._fleet.describe(), now)
        self._launches.confirm(machines, wanted=True, now=now)
        return machines

    @property
    def known_machines(self) -> tuple[Machine, ...]:
        """The fleet by the last listing and all that was asked for since."""
        return self._reconciler.machines

    def apply(self, plan: ScalingPlan, now: float) -> dict[str, ActionResult]:
        """Does what the plan says; gives what EC2 accepted, or its error, by action."""
        if plan.terms.reason in ("unknown", "unlisted"):
            return {}
        done: dict[str, ActionResult | None] = {}
        if plan.replace:
            done["replace"] = self._do("replace", self._fleet.terminate, plan.replace, now)
        elif plan.stop:
            done["stop"] = self._stop(plan.stop, now)
        else:
            done["start"] = self._start(plan, now)
            if plan.retire:
                done["retire"] = self._do("retire", self._fleet.terminate, plan.retire, now)
            done["launch"] = self._launch(plan, now)
        return {action: result for action, result in done.items() if result is not None}

    def _attempt(
        self, action: str, call: Callable[[], list[str]], now: float
    ) -> ActionResult | None:
        """One call; None when it is not made: too soon after a failure, or no longer the leader."""
        if not (self._pauses[action].ready(now) and self._allowed()):
            return None
        try:
            accepted = call()
        except AWS_CALL_ERRORS as error:
            pause = self._pauses[action].failed(now)
            logger.warning("%s failed, again in %.1f s: %s", action, pause, error)
            return f"{type(error).__name__}: {error}"
        self._pauses[action].succeeded()
        return accepted

    def _do(
        self,
        action: str,
        call: Callable[[Sequence[str]], list[str]],
        ids: Sequence[str],
        now: float,
    ) -> ActionResult | None:
        done = self._attempt(action, lambda: call(ids), now)
        if isinstance(done, list):
            self._reconciler.expect(done, self._leads_to(action), now)
        return done

    def _start(self, plan: ScalingPlan, now: float) -> ActionResult | None:
        """Starts machines, again those whose start was not answered: twice is as good as once."""
        again = self._unsure if plan.target >= len(plan.memory.live) else frozenset()
        wanted = [*plan.start, *sorted(again - {*plan.start})]

        def start() -> list[str]:
            try:
                accepted = self._launches.start(wanted, now)
            except InsufficientCapacity:  # none was started
                self._unsure = frozenset()
                self._reconciler.expect_nothing(wanted)
                raise
            except Unavailable:  # it may have been carried out
                self._unsure = frozenset(wanted)
                self._reconciler.expect(wanted, "pending", now)
                raise
            self._unsure = frozenset()
            self._reconciler.expect(accepted, "pending", now)
            self._reconciler.expect_nothing(i for i in wanted if i not in accepted)
            return accepted

        return self._attempt("start", start, now) if wanted else None

    def _stop(self, ids: Sequence[str], now: float) -> ActionResult | None:
        """Stops machines. One that has never run cannot be stopped: it is terminated, unbilled."""
        self._unsure -= {*ids}
        if self._mode == "terminate":
            return self._do("stop", self._fleet.terminate, ids, now)
        pending = {m.id for m in self._reconciler.machines if m.state == "pending"}
        stopped = self._do("stop", self._fleet.stop, ids, now)
        if isinstance(stopped, list):
            never_ran = [i for i in ids if i in pending and i not in stopped]
            if never_ran:
                self._do("cancel", self._fleet.terminate, never_ran, now)
        return stopped

    def _leads_to(self, action: str) -> InstanceState:
        return "stopping" if action == "stop" and self._mode == "stop" else "shutting-down"

    def _launch(self, plan: ScalingPlan, now: float) -> ActionResult | None:
        """A new launch, or the open one again while its machines are wanted."""
        wanted = plan.target > len(plan.memory.live)
        self._launches.confirm((), wanted=wanted, now=now)
        again = self._launches.open is not None and wanted
        if not (again or (plan.launch and self._launches.open is None)):
            return None

        def launch() -> list[str]:
            token, ids = self._launches.launch(plan.launch, now)
            self._reconciler.expect(ids, "pending", now, token)
            return ids

        return self._attempt("launch", launch, now)

    def reconcile_names(self, now: float) -> None:
        """Gives every machine without a name the lowest free one."""
        due = dict(islice(names_due(self._reconciler.machines).items(), MOST_NAMED))

        def name() -> list[str]:
            for machine_id, number in due.items():
                self._fleet.name(machine_id, number)
                self._reconciler.named(machine_id, number)
            return list(due)

        if due:
            self._attempt("name", name, now)
