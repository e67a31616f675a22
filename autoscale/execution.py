"""Carries a plan out: one batched call an action, pauses after failures, no launch doubled."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from autoscale.backoff import Backoff
from autoscale.fleet import Fleet, names_due
from autoscale.model import Machine, Plan, State
from autoscale.sightings import SETTLED, Sightings
from facerec_tasks.errors import AwsError, FacerecError, Unavailable

logger = logging.getLogger(__name__)

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Launch:
    """A launch of which we do not know whether EC2 carried it out."""

    token: str
    count: int
    asked_at: float


class Execution:
    """The one that acts on the fleet, and knows what it has asked of it."""

    def __init__(self, fleet: Fleet, mode: str) -> None:
        self._fleet = fleet
        self._mode = mode
        self._sightings = Sightings()
        self._open: Launch | None = None
        self._pauses = {
            action: Backoff(FIRST_PAUSE, LONGEST_PAUSE)
            for action in ("launch", "start", "stop", "cancel", "replace", "name")
        }

    @property
    def unconfirmed(self) -> int:
        """Machines that an open launch may have made and that no listing shows."""
        return self._open.count if self._open else 0

    def machines(self, now: float) -> tuple[Machine, ...]:
        """The fleet as it most probably is. Raises what :meth:`Fleet.describe` raises."""
        machines = self._sightings.update(self._fleet.describe(), now)
        if self._open and any(m.token == self._open.token for m in machines):
            self._open = None  # it did go through
        return machines

    def carry_out(self, plan: Plan, now: float) -> dict[str, Any]:
        """Does what the plan says; gives what EC2 accepted, or its error, by action."""
        done: dict[str, Any] = {}
        if plan.terms.bound == "unknown":
            return done
        if plan.replace:
            done["replace"] = self._do("replace", self._fleet.terminate, plan.replace, now)
        elif plan.stop:
            done["stop"] = self._stop(plan.stop, now)
        else:
            if plan.start:
                done["start"] = self._do("start", self._fleet.start, plan.start, now)
            if plan.launch or self._open:
                done["launch"] = self._launch(plan, now)
        return {action: result for action, result in done.items() if result is not None}

    def _do(
        self,
        action: str,
        call: Callable[[Sequence[str]], list[str]],
        ids: Sequence[str],
        now: float,
    ) -> list[str] | str | None:
        if not self._pauses[action].ready(now):
            return None
        try:
            accepted = call(ids)
        except (FacerecError, ClientError, BotoCoreError) as error:
            return self._failed(action, error, now)
        self._pauses[action].succeeded()
        self._sightings.expect(accepted, self._leads_to(action), now)
        return accepted

    def _stop(self, ids: Sequence[str], now: float) -> list[str] | str | None:
        """Stops machines. One that has never run cannot be stopped: it is terminated, unbilled."""
        if self._mode == "terminate":
            return self._do("stop", self._fleet.terminate, ids, now)
        pending = {m.id for m in self._sightings.machines if m.state == "pending"}
        stopped = self._do("stop", self._fleet.stop, ids, now)
        if isinstance(stopped, list):
            never_ran = [i for i in ids if i in pending and i not in stopped]
            if never_ran:
                self._do("cancel", self._fleet.terminate, never_ran, now)
        return stopped

    def _leads_to(self, action: str) -> State:
        if action == "start":
            return "pending"
        return "stopping" if action == "stop" and self._mode == "stop" else "shutting-down"

    def _launch(self, plan: Plan, now: float) -> list[str] | str | None:
        """A new launch, or an open one again under the same token while it is still wanted."""
        if not self._pauses["launch"].ready(now):
            return None
        if self._open is None:
            self._open = Launch(uuid.uuid4().hex, plan.launch, now)
        elif plan.target <= len(plan.memory.live):
            self._drop_open(now)
            return None
        launch = self._open
        try:
            ids = self._fleet.launch(launch.count, launch.token)
        except Unavailable as error:  # it may have been carried out: the token stays
            return self._failed("launch", error, now)
        except (FacerecError, ClientError, BotoCoreError) as error:  # EC2 refused
            self._open = None
            return self._failed("launch", error, now)
        self._pauses["launch"].succeeded()
        self._open = None
        self._sightings.expect(ids, "pending", now, launch.token)
        return ids

    def _drop_open(self, now: float) -> None:
        """Forgets a launch nobody wants any more, once a listing would show what it made."""
        if self._open and now - self._open.asked_at > SETTLED:
            self._open = None

    def _failed(self, action: str, error: Exception, now: float) -> str:
        pause = self._pauses[action].failed(now)
        logger.warning("%s failed, again in %.1f s: %s", action, pause, error)
        return f"{type(error).__name__}: {error}"

    def reconcile_names(self, now: float) -> None:
        """Gives every machine without a name the lowest free one."""
        if not self._pauses["name"].ready(now):
            return
        try:
            for machine_id, number in names_due(self._sightings.machines).items():
                self._fleet.name(machine_id, number)
                self._sightings.named(machine_id, number)
        except (AwsError, ClientError, BotoCoreError) as error:
            self._failed("name", error, now)
        else:
            self._pauses["name"].succeeded()
