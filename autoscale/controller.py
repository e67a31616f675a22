"""The controller's loop: read, decide, act, write down. ``python -m autoscale.controller``.

A step every 2 s while there is work or a machine, every 20 s at rest, and at once when the web
tier's ledger, which is cheap to ask, shows the first photo. Whatever AWS answers, the loop goes on.
Of several controllers the one that holds the lease acts; the others wait.
"""

import argparse
import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from autoscale.breaker import BootBreaker
from autoscale.decisions import DecisionLog, record
from autoscale.drain import LONG_TASK, Cancel, Drain
from autoscale.estimator import Experience
from autoscale.execution import Execution, Result
from autoscale.fleet import CALL_FAILED, DryRun, Ec2Fleet, Fleet
from autoscale.health import Liveness, Probe, ask_celery, cancel_by_celery
from autoscale.launches import Launches
from autoscale.lease import Lease, Place
from autoscale.metrics import Metrics, serve
from autoscale.model import PROFILES, Limits, Machine, Memory, Plan, Snapshot
from autoscale.policy import decide
from autoscale.readings import Queue, Readings
from autoscale.signals import Ledger, RequestQueue, Serving, Signals, read_ledger
from autoscale.state import PREFIX, State
from facerec_tasks.heartbeat_file import Pulse
from facerec_tasks.logs import configure, request_id
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage.state_bucket import StateBucket

logger = logging.getLogger("autoscale.controller")  # not __main__

WORKING = 2.0
RESTING = 20.0
STANDBY = 5.0
"""Seconds between two steps: with work, without, and while another controller acts."""
WATCH = 0.5
"""Seconds between two looks at the ledger, which cost nothing."""
LISTING_AT_REST = 60.0
WRITE_WORKING, WRITE_RESTING = 10.0, 300.0
"""Seconds within which decisions that changed nothing are stored."""


def limits_of(settings: Settings) -> Limits:
    """What the settings allow; what was learned replaces the service and boot times."""
    return Limits(
        cap=settings.max_instances,
        profile=PROFILES[settings.scaling_profile],
        slo=settings.slo,
        boot=settings.boot,
        boot_worst=settings.boot_worst,
        reuse=settings.fleet_mode == "stop",
        period=WORKING,
    )


def _no_worker(nodes: Sequence[str]) -> list[str]:
    """Nobody confirms anything."""
    return []


class Controller:
    """One controller: its signals, its fleet and what it remembers."""

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        state: State,
        queue: Queue,
        probe: Probe | None = None,
        cancel: Cancel = _no_worker,
    ) -> None:
        """``probe`` asks the workers whether they live; without one that is not known.

        ``cancel`` tells workers to take nothing more, before machines with long tasks are stopped.
        """
        self._settings, self._state, self._probe = settings, state, probe
        self._queue, self._cancel = queue, cancel
        self._run = uuid.uuid4().hex[:8]
        self._steps = 0
        place = Place(settings.machine, settings.state_dir)
        self._lease = Lease(state, place, self._run)
        self._pulse = Pulse(settings.state_dir, "controller")
        self._fleet = fleet
        self._log = DecisionLog(state, self._run)
        self.metrics = Metrics()
        self._acting = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forgets everything: it is rebuilt from AWS and from what the last one wrote down."""
        self._signals = Signals(longest_task=self._settings.answer_timeout)
        self._execution = Execution(
            self._fleet,
            Launches(self._fleet, self._state),
            self._settings.fleet_mode,
            allowed=lambda: self._lease.suffices,
        )
        self._liveness = Liveness(time.time())
        self._drain: Drain | None = None
        if self._settings.task_time_limit > LONG_TASK:
            self._drain = Drain(self._cancel, self._settings.task_time_limit)
        self._breaker = BootBreaker()
        self._experience = Experience(self._state)
        self._memory = Memory()
        self._serving = Serving()
        self._working = True
        self._outstanding = 0
        self._last_step = self._last_listing = float("-inf")

    def run(self, stopped: threading.Event) -> None:
        """Steps until ``stopped`` is set. Machines are left as they are."""
        if self._probe:
            self._probe.start()
        while not stopped.is_set():
            self._pulse.beat()
            ledger = read_ledger(self._settings.ledger_urls, time.time())
            if self._due(ledger):
                self._guarded(partial(self._turn, ledger))
                self._last_step = time.monotonic()
            stopped.wait(WATCH)
        self._end()

    def _end(self) -> None:
        if self._probe:
            self._probe.end()
        if self._acting:
            self._guarded(self._log.flush)
        self._guarded(self._lease.release)

    def _due(self, ledger: Ledger | None) -> bool:
        waited = time.monotonic() - self._last_step
        outstanding = ledger.outstanding if ledger else 0
        woken = outstanding > 0 and self._outstanding == 0
        self._outstanding = outstanding
        if not self._acting:
            return waited >= STANDBY
        return woken or waited >= (WORKING if self._working else RESTING) - WATCH / 2

    def _guarded(self, action: Callable[[], Any]) -> None:
        """Runs a step, or keeps its decision: neither may end the loop."""
        try:
            action()
        except CALL_FAILED as error:
            logger.warning("AWS failed, nothing more is changed in this step: %s", error)
        except Exception:  # one bad step must not leave the fleet without a controller
            logger.exception("the step failed; nothing more is changed")

    def _turn(self, ledger: Ledger | None) -> None:
        """One step, if this is the controller that acts."""
        self._steps += 1
        request_id.set(f"{self._run}-{self._steps}")
        held = self._keep_lease()
        if held and not self._acting:
            self._begin_anew()
            self._execution.recover(time.time())
            self._experience.recover()
            logger.info("this controller acts from now on")
        elif self._acting and not held:
            logger.warning("another controller may act: waiting")
        self._acting = held
        if held:
            self.step(ledger, time.time())

    def _keep_lease(self) -> bool:
        try:
            return self._lease.keep()
        except CALL_FAILED as error:
            logger.warning("the lease could not be kept, %.0f s left: %s", self._lease.left, error)
            return self._lease.left > 0

    def step(self, ledger: Ledger | None, now: float) -> Plan:
        """Reads, decides, acts and writes down once."""
        seen = self._read(ledger, now)
        machines = seen.machines or ()
        if self._drain:
            machines = self._drain.mark(machines)
        self._learn(seen, now)
        unconfirmed = self._execution.unconfirmed
        limits = replace(
            self._experience.learned.applied_to(limits_of(self._settings)),
            launch_limit=self._breaker.limit(now),
        )
        plan = decide(Snapshot(seen.demand, machines, self._memory, unconfirmed), limits, now)
        up = sum(m.live and m.ready is not False for m in machines)
        self._serving = Serving(up * limits.processes, limits.service)
        if self._drain:
            plan = self._drain.phased(plan, machines, self._liveness.node, now)
        done = self._execution.carry_out(plan, now)
        self._after(plan, seen, machines, done, now)
        self._tell(plan, seen, done)
        decision = record(
            request_id.get(),
            now,
            seen.numbers(),
            seen.demand,
            machines,
            unconfirmed,
            plan,
            limits,
            done,
        )
        self.metrics.observe(decision)
        within = 0.0 if plan.changes else WRITE_WORKING if self._working else WRITE_RESTING
        self._guarded(partial(self._log.add, decision, now, within=within))
        return plan

    def _read(self, ledger: Ledger | None, now: float) -> Readings:
        seen = Readings(ledger=ledger)
        try:
            seen.counts = self._queue.counts(now)
        except CALL_FAILED as error:
            logger.warning("the counts of the queue could not be read: %s", error)
        seen.demand = self._signals.take(seen.counts, seen.ledger, now, self._serving)
        try:
            seen.machines = self._list(now, fresh=self._working or seen.work)
        except CALL_FAILED as error:
            logger.warning("the machines could not be listed: %s", error)
            seen.demand = None  # blind: nothing may be changed
        return seen

    def _list(self, now: float, *, fresh: bool) -> tuple[Machine, ...]:
        """The machines with what their workers say; at rest not asked for in every step."""
        if fresh or now - self._last_listing >= LISTING_AT_REST:
            machines = self._execution.machines(now)
            self._last_listing = now
        else:
            machines = self._execution.known_machines
        rounds = self._probe.take() if self._probe else []
        return self._liveness.judge(machines, rounds, now)

    def _learn(self, seen: Readings, now: float) -> None:
        """Boot and service times, from machines that came up and tasks that were answered."""
        if seen.machines is None:
            return
        live = [m for m in seen.machines if m.live]
        ready = [m.id for m in live if m.ready]
        self._breaker.came_up(ready)
        for machine in ready:
            self._experience.booted(machine, self._liveness.booted(machine))
        answered = seen.ledger.answered if seen.ledger else None
        demand = seen.demand
        # While videos keep processes busy, answers do not say how long a photo takes.
        waiting = demand.grow if demand and not demand.videos else 0
        if self._experience.served(now, answered, waiting, len(ready), self._liveness.processes):
            self._liveness.progressed(now)

    def _after(
        self,
        plan: Plan,
        seen: Readings,
        machines: tuple[Machine, ...],
        done: Mapping[str, Result],
        now: float,
    ) -> None:
        """What one step leaves for the next."""
        self._memory = plan.memory
        if isinstance(done.get("start"), list) or isinstance(done.get("launch"), list):
            self._breaker.started(now)
        replaced = done.get("replace")
        gone = replaced if isinstance(replaced, list) else []
        failed = [m for m in machines if m.id in gone and not m.faulty]
        self._breaker.gave_up(len(failed), now)
        for machine in failed:
            self._experience.gave_up(now - machine.since)
        self._execution.reconcile_names(now)
        self._guarded(partial(self._experience.keep, now))
        live = [m for m in self._execution.known_machines if m.live]
        self._working = bool(plan.target or live or seen.work)
        if self._probe:
            self._probe.want(
                len(live),
                booting=any(m.live and not m.ready for m in machines),
                active=0 < plan.target < len(live) or any(m.draining for m in machines),
            )

    def _tell(self, plan: Plan, seen: Readings, done: Mapping[str, Result]) -> None:
        """One line for a step that changed something."""
        if not plan.changes:
            return
        todo = {
            "start": len(plan.start),
            "launch": plan.launch,
            "stop": len(plan.stop),
            "replace": len(plan.replace),
            "retire": len(plan.retire),
        }
        logger.info(
            "%s, needed %d (%s), target %d: %s: %s",
            seen.numbers(),
            plan.need,
            plan.terms.bound,
            plan.target,
            ", ".join(f"{action} {count}" for action, count in todo.items() if count),
            done,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m autoscale.controller", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="decide, but change nothing")
    dry = parser.parse_args(arguments).dry_run
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
    fleet: Fleet = Ec2Fleet(settings)
    state = StateBucket(settings, PREFIX)
    if dry:  # beside the one that acts, with a lease and a record of its own
        fleet, state = DryRun(fleet), StateBucket(settings, PREFIX + "dry-run/")
        settings = settings.model_copy(update={"state_dir": settings.state_dir / "dry-run"})
    controller = Controller(
        settings,
        fleet,
        state,
        RequestQueue(settings),
        Probe(ask_celery),
        partial(cancel_by_celery, queue=settings.request_queue),
    )
    if settings.metrics_port:
        serve(controller.metrics, settings.metrics_port)
    controller.run(stopped)
    logger.info("controller down; machines are left as they are")


if __name__ == "__main__":
    main()
