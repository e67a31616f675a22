"""The controller's loop: read, decide, act, write down. ``python -m autoscale.controller``.

A step every 2 s while there is work or a machine, every 20 s at rest, and at once when the web
tier, which is cheap to ask, has the first photo in flight. Whatever AWS answers, the loop goes on.
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

from autoscale.decisions import DecisionLog, record
from autoscale.drain import LONG_TASK, CancelConsumers, DrainTracker
from autoscale.ec2_errors import AWS_CALL_ERRORS
from autoscale.estimator import Estimator
from autoscale.fleet import DryRunFleet, Ec2Fleet, Fleet
from autoscale.health import HealthMonitor, WorkerPoller, ask_celery, cancel_by_celery
from autoscale.launch_breaker import LaunchBreaker
from autoscale.launcher import Launcher
from autoscale.lease import ControllerLock, LeaderLease
from autoscale.metrics import ControllerMetrics, serve
from autoscale.min_instances import min_instances
from autoscale.model import (
    PROFILES,
    FleetSnapshot,
    Machine,
    PolicyState,
    ScalingLimits,
    ScalingPlan,
)
from autoscale.plan_executor import FIRST_PAUSE, LONGEST_PAUSE, ActionResult, PlanExecutor
from autoscale.policy import decide
from autoscale.readings import StepReadings
from autoscale.seasonality import Seasonality
from autoscale.signals import (
    CountMessages,
    DemandEstimator,
    InFlightReading,
    RequestQueue,
    ServiceCapacity,
    read_in_flight,
)
from autoscale.state import StateStore
from autoscale.step_schedule import WATCH, StepSchedule
from facerec_tasks.backoff import Backoff
from facerec_tasks.heartbeat_file import HeartbeatFile
from facerec_tasks.logs import configure, request_id
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket

logger = logging.getLogger("autoscale.controller")  # not __main__

LISTING_AT_REST = 60.0
WRITE_WORKING, WRITE_RESTING = 10.0, 300.0
"""Seconds within which decisions that changed nothing are stored."""


def limits_of(settings: Settings) -> ScalingLimits:
    """What the settings allow; what was learned replaces the service and boot times."""
    return ScalingLimits(
        cap=settings.max_instances,
        profile=PROFILES[settings.scaling_profile],
        slo=settings.slo,
        boot=settings.boot,
        boot_worst=settings.boot_worst,
        reuse=settings.fleet_mode == "stop",
    )


class Controller:
    """One controller: its signals, its fleet and what it remembers."""

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        state: StateStore,
        count: CountMessages,
        lock: ControllerLock,
        poller: WorkerPoller,
        cancel: CancelConsumers,
    ) -> None:
        """``cancel`` tells workers to take nothing more, before machines with long tasks stop."""
        self._settings, self._state, self._poller = settings, state, poller
        self._count, self._cancel = count, cancel
        self._run = uuid.uuid4().hex[:8]
        self._steps = 0
        self._lease = LeaderLease(state, lock, self._run)
        self._heartbeat = HeartbeatFile(settings.state_dir, "controller")
        self._fleet = fleet
        self._log = DecisionLog(state, self._run)
        self.metrics = ControllerMetrics()
        self._acting = False
        self._reset()

    def _reset(self) -> None:
        """Forgets everything: it is rebuilt from AWS and from what the last one wrote down."""
        self._signals = DemandEstimator(longest_task=self._settings.answer_timeout)
        self._executor = PlanExecutor(
            self._fleet,
            Launcher(self._fleet, self._state),
            self._settings.fleet_mode,
            allowed=lambda: self._lease.suffices,
        )
        self._health = HealthMonitor(time.time())
        self._drain: DrainTracker | None = None
        if self._settings.task_time_limit > LONG_TASK:
            self._drain = DrainTracker(self._cancel, self._settings.task_time_limit)
        self._breaker = LaunchBreaker()
        self._estimator = Estimator()
        self._season = Seasonality()
        self._memory = PolicyState()
        self._serving = ServiceCapacity()
        self._schedule = StepSchedule()
        self._last_listing = float("-inf")
        self._listing = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._listing_error = ""

    def run(self, stopped: threading.Event) -> None:
        """Steps until ``stopped`` is set. Machines are left as they are."""
        self._poller.start()
        while not stopped.is_set():
            self._heartbeat.touch()
            requests = read_in_flight(self._settings.in_flight_urls, time.time())
            outstanding = requests.outstanding if requests else None
            if self._schedule.due(time.monotonic(), outstanding, acting=self._acting):
                self._guarded(partial(self.step_if_leader, requests, time.time()))
                self._schedule.stepped(time.monotonic())
            stopped.wait(WATCH)
        self._end()

    def _end(self) -> None:
        self._poller.end()
        if self._acting:
            self._guarded(self._log.flush)
        self._guarded(self._lease.release)

    def _guarded(self, action: Callable[[], Any]) -> None:
        """Runs a step, or keeps its decision: neither may end the loop."""
        try:
            action()
        except AWS_CALL_ERRORS as error:
            logger.warning("AWS failed, nothing more is changed in this step: %s", error)
        except Exception:  # one bad step must not leave the fleet without a controller
            logger.exception("the step failed; nothing more is changed")

    def step_if_leader(self, requests: InFlightReading | None, now: float) -> ScalingPlan | None:
        """One step, if this is the controller that acts."""
        self._steps += 1
        request_id.set(f"{self._run}-{self._steps}")
        held = self._keep_lease()
        if held and not self._acting:
            self._reset()
            self._executor.recover(now)
            self._estimator.recover(self._state)
            self._season.recover(self._state)
            logger.info("this controller acts from now on")
        elif self._acting and not held:
            logger.warning("another controller may act: waiting")
        self._acting = held
        return self.step(requests, now) if held else None

    def _keep_lease(self) -> bool:
        try:
            return self._lease.keep()
        except AWS_CALL_ERRORS as error:
            logger.warning("the lease could not be kept, %.0f s left: %s", self._lease.left, error)
            return self._lease.left > 0

    def step(self, requests: InFlightReading | None, now: float) -> ScalingPlan:
        """Reads, decides, acts and writes down once."""
        seen = self._read(requests, now)
        listed = seen.machines is not None
        machines = seen.machines if seen.machines is not None else self._executor.known_machines
        if self._drain:
            machines = self._drain.mark(machines)
        self._learn(seen, now)
        unconfirmed = self._executor.unconfirmed
        limits = self._limits(seen, now)
        plan = decide(
            FleetSnapshot(seen.demand, machines if listed else None, self._memory, unconfirmed),
            limits,
            now,
        )
        up = sum(m.live and m.ready is not False for m in machines)
        self._serving = ServiceCapacity(up * limits.processes, limits.service)
        if self._drain:
            plan = self._drain.phased(plan, machines, self._health.node, now)
        done = self._executor.apply(plan, now)
        self._after(plan, seen, machines, done, now)
        results = {**seen.failed, **done}
        decision = record(request_id.get(), now, seen, machines, unconfirmed, plan, limits, results)
        within = WRITE_WORKING if self._schedule.working else WRITE_RESTING
        if decision.changes:
            within = 0.0
            logger.info(
                "%s, needed %d (%s), target %d: %s: %s",
                seen.numbers(),
                plan.need,
                plan.terms.reason,
                plan.target,
                ", ".join(f"{action} {count}" for action, count in decision.changes.items()),
                done,
            )
        self.metrics.observe(decision)
        self._guarded(partial(self._log.add, decision, now, within=within))
        return plan

    def _limits(self, seen: StepReadings, now: float) -> ScalingLimits:
        """What is allowed, with what was learned, scheduled and expected."""
        s = self._settings
        if seen.demand is not None:
            self._season.observe(now, seen.demand.accepted)
        limits = self._estimator.estimates.applied_to(limits_of(s))
        expected, photos = self._season.machines(now, limits)
        scheduled = min_instances(s.min_instances, s.min_instances_schedule, now)
        return replace(
            limits,
            launch_limit=self._breaker.limit(now),
            useful=self._estimator.useful(now),
            least=min(s.max_instances, max(scheduled, expected)),
            season=photos,
        )

    def _read(self, requests: InFlightReading | None, now: float) -> StepReadings:
        seen = StepReadings(requests=requests)
        try:
            seen.counts = self._count(now)
        except AWS_CALL_ERRORS as error:
            seen.failed["GetQueueAttributes"] = f"{type(error).__name__}: {error}"
            logger.warning("the counts of the queue could not be read: %s", error)
        seen.demand = self._signals.take(seen.counts, seen.requests, now, self._serving)
        seen.machines = self._listed(seen, now)
        return seen

    def _listed(self, seen: StepReadings, now: float) -> tuple[Machine, ...] | None:
        """The machines, or None: after a failure EC2 is not asked again before a pause is over."""
        if not self._listing.ready(now):
            seen.failed["DescribeInstances"] = self._listing_error
            return None
        try:
            machines = self._list(now, fresh=self._schedule.working or seen.work)
        except AWS_CALL_ERRORS as error:
            pause = self._listing.failed(now)
            self._listing_error = f"{type(error).__name__}: {error}"
            seen.failed["DescribeInstances"] = self._listing_error
            logger.warning("the machines could not be listed, again in %.1f s: %s", pause, error)
            return None
        self._listing.succeeded()
        return machines

    def _list(self, now: float, *, fresh: bool) -> tuple[Machine, ...]:
        """The machines with what their workers say; at rest not asked for in every step."""
        if fresh or now - self._last_listing >= LISTING_AT_REST:
            machines = self._executor.machines(now)
            self._last_listing = now
        else:
            machines = self._executor.known_machines
        return self._health.judge(machines, self._poller.take(), now)

    def _learn(self, seen: StepReadings, now: float) -> None:
        """Boot and service times, from machines that came up and tasks that were answered."""
        if seen.machines is None:
            return
        live = [m for m in seen.machines if m.live]
        ready = [m.id for m in live if m.ready]
        self._breaker.came_up(ready)
        self._note_failed_boots(seen, now)
        for machine in live:
            if machine.ready:
                booted = self._health.booted(machine.id)
                self._estimator.booted(machine.id, booted, machine.since)
        answered = seen.requests.answered if seen.requests else None
        demand = seen.demand
        # While videos keep processes busy, answers do not say how long a photo takes.
        waiting = demand.grow if demand and not demand.videos else 0
        if self._estimator.served(now, answered, waiting, len(ready), self._health.processes):
            self._health.progressed(now)

    def _note_failed_boots(self, seen: StepReadings, now: float) -> None:
        """EC2 accepted these machines and could not start them: more would end in the same way."""
        failed = self._health.failed_boots(seen.machines or ())
        if failed:
            words = f"{', '.join(m.id for m in failed)}: {failed[-1].boot_error}"
            seen.failed["boot"] = words
            logger.warning("EC2 could not start %s", words)
        self._breaker.gave_up(len(failed), now)

    def _after(
        self,
        plan: ScalingPlan,
        seen: StepReadings,
        machines: tuple[Machine, ...],
        done: Mapping[str, ActionResult],
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
            self._estimator.gave_up(now - machine.since)
        self._executor.reconcile_names(now)
        self._guarded(partial(self._estimator.keep, self._state, now))
        self._guarded(partial(self._season.keep, self._state, now))
        live = [m for m in self._executor.known_machines if m.live]
        self._schedule.working = bool(plan.target or live or seen.work)
        self._poller.want(
            len(live),
            booting=any(m.live and not m.ready for m in machines),
            active=0 < plan.target < len(live) or any(m.draining for m in machines),
            nodes=self._health.nodes(),
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
    state = StateBucket(settings, layout.CONTROLLER)
    if dry:  # beside the one that acts, with a lease and a record of its own
        fleet, state = DryRunFleet(fleet), StateBucket(settings, layout.CONTROLLER + "dry-run/")
        settings = settings.model_copy(update={"state_dir": settings.state_dir / "dry-run"})
    controller = Controller(
        settings,
        fleet,
        state,
        RequestQueue(settings).counts,
        ControllerLock(settings.machine, settings.state_dir),
        WorkerPoller(ask_celery),
        partial(cancel_by_celery, queue=settings.request_queue),
    )
    if settings.metrics_port:
        serve(controller.metrics, settings.metrics_port)
    controller.run(stopped)
    logger.info("controller down; machines are left as they are")


if __name__ == "__main__":
    main()
