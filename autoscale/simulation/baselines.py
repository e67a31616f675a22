"""Other people's autoscalers, as far as their documents and sources say, and the clairvoyant."""

import math
from collections import deque
from collections.abc import Callable, Sequence

from autoscale.simulation.environment import Environment
from autoscale.simulation.simulator import SimulatedMachine, SimulatedPolicy, Simulation


class _Baseline:
    period = 2.0
    foresees = False

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        """Nothing is remembered."""


class Published(_Baseline):
    """What the published student versions of this system do.

    One machine a visible message; when the queue reads empty, all are stopped, work or not.
    """

    def tick(self, simulation: Simulation) -> None:
        visible, _ = simulation.counts()
        simulation.start(visible - len(simulation.servers))
        if not visible:
            for server in [s for s in simulation.servers if s.state == "running"]:
                simulation.stop(server, kill=True)


class KedaHpa(_Baseline):
    """KEDA's SQS scaler (queueLength 5, cooldown 300 s) under the Kubernetes HPA's defaults."""

    period = 15.0
    per_machine = 5
    window = 300.0

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._wanted: deque[tuple[float, int]] = deque()
        self._active = -math.inf

    def tick(self, simulation: Simulation) -> None:
        waiting, live = sum(simulation.counts()), _staying(simulation)
        now, n = simulation.now, len(live)
        if waiting:
            self._active = now
        if not n:
            simulation.start(min(waiting, 1))  # from none to one by KEDA, the rest by the HPA
            return
        tolerated = abs(waiting / (n * self.per_machine) - 1) <= 0.1
        wanted = n if tolerated else max(1, math.ceil(waiting / self.per_machine))
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - self.window:
            self._wanted.popleft()
        cooled = not waiting and now - self._active >= self.window
        keep = 0 if cooled else max(w for _, w in self._wanted)
        simulation.start(min(wanted, max(2 * n, n + 4)) - n)
        for server in simulation.rng.sample(live, max(0, n - keep)):
            simulation.stop(server)


class KedaTuned(KedaHpa):
    """KEDA as its documentation advises to tune it: as many messages a machine as it does within
    half of what boots leave of the objective, in-flight messages counted, and a minute instead of
    five before scaling in. https://keda.sh/docs/latest/scalers/aws-sqs/"""

    window = 60.0

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        super().begin(simulation, arrivals)
        environment = simulation.environment
        rate = environment.processes / environment.service
        self.per_machine = max(1, int(rate * (environment.slo - environment.boot_mean) / 2))


class TargetTracking(_Baseline):
    """AWS target tracking on backlog per instance: minutes of data, 3 high or 15 low to act."""

    period = 60.0

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._high = self._low = 0

    def tick(self, simulation: Simulation) -> None:
        waiting, live = sum(simulation.counts()), list(simulation.servers)
        environment, n = simulation.environment, len(live)
        target = max(
            5.0,
            (environment.slo - environment.boot_mean) * environment.processes / environment.service,
        )
        if not n:
            simulation.start(min(waiting, 1))
            return
        each = waiting / n
        self._high = self._high + 1 if each > target else 0
        self._low = self._low + 1 if each < 0.9 * target else 0
        wanted = math.ceil(n * each / target)
        if self._high >= 3:
            simulation.start(wanted - n)
            self._high = 0
        if self._low >= 15:
            for server in simulation.rng.sample(live, n - wanted):
                simulation.stop(server, kill=True)
            self._low = 0


class Buildkite(_Baseline):
    """Buildkite's agent scaler: jobs / agents every 10 s; agents leave after 600 s without work."""

    period = 10.0
    idle = 600.0

    def tick(self, simulation: Simulation) -> None:
        wanted = math.ceil(sum(simulation.counts()) / simulation.environment.processes)
        simulation.start(wanted - len(simulation.servers))
        for server in [s for s in simulation.servers if self._unused(s, simulation.now)]:
            simulation.stop(server)

    def _unused(self, server: SimulatedMachine, now: float) -> bool:
        return not server.busy and now - server.idle_since >= self.idle


class ConstantFleet(_Baseline):
    """``machines`` machines, up before the first photo and until the last answer."""

    def __init__(self, machines: int = 1) -> None:
        self._machines = machines

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        simulation.start_warm(self._machines)
        self._total = len(arrivals)

    def tick(self, simulation: Simulation) -> None:
        if simulation.answered == self._total:
            for machine in list(simulation.servers):
                simulation.stop(machine)


class Clairvoyant:
    """Knows all arrivals: spreads their work over the objective, boots exactly in time."""

    period = 1.0
    foresees = True
    slack = 0.85
    """Share of the objective over which the work of an arrival is spread."""
    fill = 0.95
    """Share of a machine's capacity that is planned."""
    gap = 30
    """Seconds for which keeping a machine is cheaper than its next paid minute."""

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._planned = _gaps_filled(
            _spread(arrivals, simulation.environment, self.slack, self.fill),
            simulation.environment,
            self.gap,
        )

    def tick(self, simulation: Simulation) -> None:
        now, ahead = int(simulation.now), int(simulation.environment.boot_mean) + 2
        need = max(self._planned[now : now + ahead], default=0)
        live = _staying(simulation)
        simulation.start(need - len(live))
        keep = max(need, 1 if simulation.outstanding else 0)
        for server in sorted(live, key=lambda s: s.busy)[: max(0, len(live) - keep)]:
            if simulation.now - server.runs_at >= 59:
                simulation.stop(server)


def _spread(
    arrivals: Sequence[float], environment: Environment, slack: float, fill: float
) -> list[int]:
    """Machines needed in each second."""
    length = max(1, int(environment.slo * slack))
    end = int(arrivals[-1] if arrivals else 0) + length + 3
    change = [0.0] * (end + 1)
    for at in arrivals:
        begin = int(at) + 1
        each = environment.service / environment.processes / length
        change[begin] += each
        change[min(end, begin + length)] -= each
    planned, level = [], 0.0
    for delta in change:
        level += delta
        planned.append(min(environment.cap, math.ceil(level / fill - 1e-6)))
    return planned


def _gaps_filled(planned: list[int], environment: Environment, gap: int) -> list[int]:
    """Keeps each level over gaps that are too short to stop for."""
    for level in range(1, environment.cap + 1):
        last = None
        for t, n in enumerate(planned):
            if n < level:
                continue
            if last is not None and 1 < t - last <= gap:
                for u in range(last + 1, t):
                    planned[u] = max(planned[u], level)
            last = t
    return planned


def _staying(simulation: Simulation) -> list[SimulatedMachine]:
    return [s for s in simulation.servers if not s.draining]


BASELINES: dict[str, Callable[[], SimulatedPolicy]] = {
    "one-per-message": Published,
    "keda-hpa": KedaHpa,
    "keda-tuned": KedaTuned,
    "aws-target-tracking": TargetTracking,
    "buildkite": Buildkite,
    "clairvoyant": Clairvoyant,
}
