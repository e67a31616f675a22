"""Our own policy as the simulator drives it: the same signals and the same decision as in life."""

from collections.abc import Sequence

from autoscale.model import Limits, Machine, Memory, Plan, Snapshot
from autoscale.policy import decide
from autoscale.signals import Counts, Ledger, Process, Serving, Signals
from autoscale.simulation.simulator import Server, Simulation

LONG_AGO = -1e6
LONGEST_TASK = 120.0


class Ours:
    """Steers a simulation by :func:`autoscale.policy.decide`."""

    foresees = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.period = limits.period
        self.plans: list[Plan] = []

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._signals = Signals(LONGEST_TASK)
        self._memory = Memory()
        self.plans.clear()

    def tick(self, simulation: Simulation) -> None:
        machines = tuple(_machine(s, simulation) for s in (*simulation.servers, *simulation.pool))
        up = sum(m.live and bool(m.ready) for m in machines)
        demand = self._signals.take(
            _counts(simulation),
            _ledger(simulation),
            simulation.now,
            Serving(up * self.limits.processes, self.limits.service),
        )
        plan = decide(Snapshot(demand, machines, self._memory), self.limits, simulation.now)
        self._memory = plan.memory
        self.plans.append(plan)
        ending = {*plan.stop, *plan.replace}
        for server in [s for s in simulation.servers if s.id in ending]:
            simulation.stop(server)
        simulation.start(len(plan.start) + plan.launch)


def _machine(server: Server, simulation: Simulation) -> Machine:
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


def _counts(simulation: Simulation) -> Counts:
    return Counts(simulation.now, *simulation.counts())


def _ledger(simulation: Simulation) -> Ledger | None:
    if not simulation.world.ledger:
        return None
    process = Process(
        name="web",
        epoch="1",
        started_at=LONG_AGO,
        accepted=simulation.accepted,
        answered=simulation.answered,
        outstanding=simulation.outstanding,
    )
    return Ledger(simulation.now, (process,))
