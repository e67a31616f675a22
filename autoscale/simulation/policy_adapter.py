"""Our own policy as the simulator drives it: the same signals and the same decision as in life."""

from collections.abc import Sequence

from autoscale.model import FleetSnapshot, Machine, PolicyState, ScalingLimits, ScalingPlan
from autoscale.policy import decide
from autoscale.signals import (
    DemandEstimator,
    InFlightReading,
    QueueCounts,
    ServiceCapacity,
    WebProcess,
)
from autoscale.simulation.simulator import SimulatedMachine, Simulation

LONG_AGO = -1e6
LONGEST_TASK = 120.0


class PolicyAdapter:
    """Steers a simulation by :func:`autoscale.policy.decide`."""

    foresees = False

    def __init__(self, limits: ScalingLimits) -> None:
        self.limits = limits
        self.period = limits.period
        self.plans: list[ScalingPlan] = []

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._signals = DemandEstimator(LONGEST_TASK)
        self._memory = PolicyState()
        self.plans.clear()

    def tick(self, simulation: Simulation) -> None:
        machines = tuple(_machine(s, simulation) for s in (*simulation.servers, *simulation.pool))
        up = sum(m.live and bool(m.ready) for m in machines)
        demand = self._signals.take(
            _counts(simulation),
            _ledger(simulation),
            simulation.now,
            ServiceCapacity(up * self.limits.processes, self.limits.service),
        )
        plan = decide(FleetSnapshot(demand, machines, self._memory), self.limits, simulation.now)
        self._memory = plan.memory
        self.plans.append(plan)
        ending = {*plan.stop, *plan.replace}
        for server in [s for s in simulation.servers if s.id in ending]:
            simulation.stop(server)
        simulation.start(len(plan.start) + plan.launch)


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


def _counts(simulation: Simulation) -> QueueCounts:
    return QueueCounts(simulation.now, *simulation.counts())


def _ledger(simulation: Simulation) -> InFlightReading | None:
    if not simulation.environment.ledger:
        return None
    process = WebProcess(
        name="web",
        epoch="1",
        started_at=LONG_AGO,
        accepted=simulation.accepted,
        answered=simulation.answered,
        outstanding=simulation.outstanding,
    )
    return InFlightReading(simulation.now, (process,))
