"""The controller's loop: read, decide, act, write down. ``python -m autoscale.controller``.

A step every 2 s while there is work or a machine, every 20 s at rest, and at once when the web
tier's ledger, which is cheap to ask, shows the first photo. Whatever AWS answers, the loop goes on.
"""

import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from autoscale.decisions import DecisionLog, record
from autoscale.execution import Execution
from autoscale.fleet import Ec2Fleet, Fleet
from autoscale.model import PROFILES, Limits, Machine, Memory, Plan, Snapshot
from autoscale.policy import decide
from autoscale.signals import Counts, Ledger, Signals, read_counts, read_ledger
from autoscale.state import State
from facerec_tasks.errors import FacerecError
from facerec_tasks.logs import configure, request_id
from facerec_tasks.settings import Settings, get_settings

logger = logging.getLogger(__name__)

WORKING = 2.0
RESTING = 20.0
WATCH = 0.5
"""Seconds between two looks at the ledger, which cost nothing."""
AWS_ERRORS = (FacerecError, ClientError, BotoCoreError)


def limits_of(settings: Settings) -> Limits:
    """What the settings allow; what was learned replaces the service and boot times."""
    return Limits(
        cap=settings.max_instances,
        profile=PROFILES[settings.scaling_profile],
        slo=settings.slo,
        reuse=settings.fleet_mode == "stop",
        period=WORKING,
    )


@dataclass
class _Readings:
    """What one step saw; a field that is none could not be had."""

    counts: Counts | None = None
    ledger: Ledger | None = None
    machines: tuple[Machine, ...] | None = None

    @property
    def work(self) -> bool:
        """Whether any reading shows a task, confirmed or not."""
        counted = self.counts.total if self.counts else 0
        return bool(counted or (self.ledger and self.ledger.outstanding))

    def numbers(self) -> dict[str, int | None]:
        return {
            "visible": self.counts.visible if self.counts else None,
            "in_flight": self.counts.in_flight if self.counts else None,
            "outstanding": self.ledger.outstanding if self.ledger else None,
        }


class Controller:
    """One controller: its signals, its fleet and what it remembers."""

    def __init__(self, settings: Settings, fleet: Fleet, state: State) -> None:
        self._settings = settings
        self._run = uuid.uuid4().hex[:8]
        self._steps = 0
        self._signals = Signals(longest_task=settings.answer_timeout)
        self._execution = Execution(fleet, mode=settings.fleet_mode)
        self._log = DecisionLog(state, self._run)
        self._memory = Memory()
        self._working = True
        self._outstanding = 0
        self._last_step = float("-inf")

    def run(self, stopped: threading.Event) -> None:
        """Steps until ``stopped`` is set. Machines are left as they are."""
        while not stopped.is_set():
            ledger = read_ledger(self._settings.ledger_urls, time.time())
            if self._due(ledger):
                self._guarded(partial(self.step, ledger, time.time()))
                self._last_step = time.monotonic()
            stopped.wait(WATCH)
        self._guarded(lambda: self._log.flush(time.time()))

    def _due(self, ledger: Ledger | None) -> bool:
        waited = time.monotonic() - self._last_step
        outstanding = ledger.outstanding if ledger else 0
        woken = outstanding > 0 and self._outstanding == 0
        self._outstanding = outstanding
        return woken or waited >= (WORKING if self._working else RESTING) - WATCH / 2

    def _guarded(self, action: Callable[[], Any]) -> None:
        """Runs a step, or keeps its decision: neither may end the loop."""
        try:
            action()
        except AWS_ERRORS as error:
            logger.warning("the decisions could not be stored, they are kept: %s", error)
        except Exception:  # one bad step must not leave the fleet without a controller
            logger.exception("the step failed; nothing more is changed")

    def step(self, ledger: Ledger | None, now: float) -> Plan:
        """Reads, decides, acts and writes down once."""
        self._steps += 1
        request_id.set(f"{self._run}-{self._steps}")
        seen = self._read(ledger, now)
        demand = self._signals.take(seen.counts, seen.ledger, now)
        if seen.machines is None:
            demand = None
        machines = seen.machines or ()
        unconfirmed = self._execution.unconfirmed
        limits = limits_of(self._settings)
        plan = decide(Snapshot(demand, machines, self._memory, unconfirmed), limits, now)
        self._memory = plan.memory
        done = self._execution.carry_out(plan, now)
        self._execution.reconcile_names(now)
        self._working = bool(plan.target or any(m.live for m in machines) or seen.work)
        self._tell(plan, seen, done)
        decision = record(
            request_id.get(), now, seen.numbers(), demand, machines, unconfirmed, plan, limits, done
        )
        self._guarded(partial(self._log.add, decision, now, urgent=plan.changes))
        return plan

    def _read(self, ledger: Ledger | None, now: float) -> _Readings:
        seen = _Readings(ledger=ledger)
        try:
            seen.counts = read_counts(self._settings, now)
        except AWS_ERRORS as error:
            logger.warning("the counts of the queue could not be read: %s", error)
        try:
            seen.machines = self._execution.machines(now)
        except AWS_ERRORS as error:
            logger.warning("the machines could not be listed: %s", error)
        return seen

    def _tell(self, plan: Plan, seen: _Readings, done: dict[str, Any]) -> None:
        """One line for a step that changed something."""
        if not plan.changes:
            return
        logger.info(
            "waiting %s, needed %d (%s), target %d: start %d, launch %d, stop %d, replace %d: %s",
            seen.numbers(),
            plan.need,
            plan.terms.bound,
            plan.target,
            len(plan.start),
            plan.launch,
            len(plan.stop),
            len(plan.replace),
            done,
        )


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    configure("controller")
    settings = get_settings()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    logger.info(
        "controller up: profile %s, cap %d, %s mode",
        settings.scaling_profile,
        settings.max_instances,
        settings.fleet_mode,
    )
    Controller(settings, Ec2Fleet(settings), State(settings)).run(stopped)
    logger.info("controller down; machines are left as they are")


if __name__ == "__main__":
    main()
