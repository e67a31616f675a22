"""Our own policy as the simulator drives it: the same signals and the same decision as in life."""

from collections.abc import Sequence
from dataclasses import replace

from autoscale.estimator import Estimator
from autoscale.model import Demand, FleetSnapshot, Machine, PolicyState, ScalingLimits, ScalingPlan
from autoscale.policy import decide
from autoscale.seasonality import Seasonality
from autoscale.signals import DemandEstimator, InFlightReading, QueueLengths, ServiceCapacity
from autoscale.simulation.simulator import SimulatedMachine, Simulation
from autoscale.step_schedule import WORKING, StepSchedule
from facerec_tasks.control_schemas import ProcessReport

LONG_AGO = -1e6
LONGEST_TASK = 120.0


class PolicyAdapter:
    """Steers a simulation by :func:`autoscale.policy.decide`."""

    foresees = False
    period = WORKING

    def __init__(self, limits: ScalingLimits) -> None:
        self.limits = limits
        self.plans: list[ScalingPlan] = []

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._signals = DemandEstimator(LONGEST_TASK)
        self._memory = PolicyState()
        self._estimator = Estimator()
        self._schedule = StepSchedule()
        self._season = Seasonality()
        self.plans.clear()

    def tick(self, simulation: Simulation) -> None:
        """A step, if the controller would take one now."""
        outstanding = simulation.outstanding if simulation.environment.requests_known else None
        if self._schedule.due(simulation.now, outstanding):
            self._schedule.stepped(simulation.now)
            self._step(simulation)

    def _step(self, simulation: Simulation) -> None:
        now = simulation.now
        machines = tuple(_machine(s, simulation) for s in (*simulation.servers, *simulation.pool))
        up = sum(m.live and bool(m.ready) for m in machines)
        demand = self._signals.take(
            QueueLengths(now, *simulation.counts()),
            _ledger(simulation),
            now,
            ServiceCapacity(up * self.limits.processes, self.limits.service),
        )
        limits = self._learned(machines, demand, simulation)
        plan = decide(FleetSnapshot(demand, machines, self._memory), limits, now)
        self._memory = plan.memory
        self.plans.append(plan)
        ending = {*plan.stop, *plan.replace}
        for server in [s for s in simulation.servers if s.id in ending]:
            simulation.stop(server)
        simulation.start(len(plan.start) + plan.launch)
        self._schedule.working = bool(plan.target or simulation.servers or simulation.outstanding)

    def _learned(
        self, machines: Sequence[Machine], demand: Demand | None, simulation: Simulation
    ) -> ScalingLimits:
        """The limits with boot and service times as the controller would have learned them."""
        now, ready = simulation.now, [m for m in machines if m.live and m.ready]
        for m in ready:
            if m.up_since is not None:
                self._estimator.booted(m.id, m.up_since - m.since, m.since)
        answered = simulation.answered if simulation.environment.requests_known else None
        waiting = demand.grow if demand and not demand.videos else 0
        processes = self.limits.processes if ready else None
        self._estimator.served(now, answered, waiting, len(ready), processes)
        limits = self._estimator.estimates.applied_to(self.limits)
        self._season.observe(now, float(simulation.accepted))
        expected, season = self._season.machines(now, limits)
        least = min(limits.cap, max(limits.least, expected))
        return replace(limits, useful=self._estimator.useful(now), least=least, season=season)


def _machine(server: SimulatedMachine, simulation: Simulation) -> Machine:
    running = server.state == "running"
    return Machine(
        id=server.id,
        state="stopping" if server.draining else server.state,
        since=server.asked,
        running_since=server.runs_at if running else None,
        ready=server.ready_at <= simulation.now,
        up_since=server.ready_at if server.ready_at <= simulation.now else None,
        busy=server.busy > 0,
        outdated=simulation.outdated(server),
    )


def _ledger(simulation: Simulation) -> InFlightReading | None:
    if not simulation.environment.requests_known:
        return None
    process = ProcessReport(
        process="web",
        epoch="1",
        started_at=LONG_AGO,
        accepted=simulation.accepted,
        answered=simulation.answered,
        outstanding=simulation.outstanding,
        videos=simulation.videos,
    )
    return InFlightReading(simulation.now, (process,))
