"""Policies on the same traffic, side by side."""

import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from autoscale.model import PROFILES, ScalingLimits
from autoscale.simulation.baselines import BASELINES
from autoscale.simulation.environment import Environment
from autoscale.simulation.held_out_traces import HELD_OUT
from autoscale.simulation.lower_bound import lower_bound
from autoscale.simulation.policy_adapter import PolicyAdapter
from autoscale.simulation.simulator import RunResult, SimulatedPolicy, Simulation
from autoscale.simulation.traces import TRACES, Trace

POLICIES = (*PROFILES, *BASELINES)
FIRST_SEED = 1000
MEANS = (
    "tasks", "p50", "p99", "late", "billed", "idle", "booting", "minimum_waste", "launches",
    "redelivered", "last_answer",
)  # fmt: skip
"""Of :class:`.RunResult`, what is averaged over the seeds."""


@dataclass(frozen=True)
class TraceSummary:
    """Means over the seeds of one policy on one trace."""

    trace: str
    policy: str
    seeds: int
    tasks: float
    p50: float
    p99: float
    late: float
    """Tasks above the objective, or never done."""
    billed: float
    idle: float
    booting: float
    minimum_waste: float
    launches: float
    peak: int
    """The most over all seeds."""
    redelivered: float
    lower_bound: float
    last_answer: float
    stopped_after: float
    """Seconds from the last answer to the last stop."""


def make_policy(policy: str, environment: Environment) -> SimulatedPolicy:
    """Our own profiles, which know this world's means as if learned, or a rival."""
    if policy in BASELINES:
        return BASELINES[policy]()
    return PolicyAdapter(
        ScalingLimits(
            cap=environment.cap,
            profile=PROFILES[policy],
            slo=environment.slo,
            service=environment.service,
            processes=environment.processes,
            boot=environment.boot_mean,
            boot_worst=environment.boot_worst,
            reuse=environment.keeps_stopped,
        )
    )


def simulate(
    policy: str, arrivals: Sequence[float], environment: Environment, seed: int
) -> RunResult:
    """One run."""
    return Simulation(arrivals, make_policy(policy, environment), environment, seed).run()


def arrivals_of(trace: str, seed: int) -> Trace:
    """A synthetic trace by name."""
    return (TRACES | HELD_OUT)[trace](random.Random(FIRST_SEED + seed))  # noqa: S311  no secret


@dataclass(frozen=True)
class Case:
    """One policy on one trace, over some seeds."""

    trace: str
    policy: str
    environment: Environment
    seeds: int
    arrivals: tuple[float, ...] | None = None
    """Recorded traffic; none for the synthetic trace of that name, another one each seed."""

    def run(self) -> TraceSummary:
        """All seeds."""
        traffic = [
            list(self.arrivals) if self.arrivals is not None else arrivals_of(self.trace, seed)
            for seed in range(self.seeds)
        ]
        outcomes = [
            simulate(self.policy, arrivals, self.environment, seed)
            for seed, arrivals in enumerate(traffic)
        ]
        least = fmean(lower_bound(arrivals, self.environment) for arrivals in traffic)
        return self._summary(outcomes, least)

    def _summary(self, outcomes: Sequence[RunResult], least: float) -> TraceSummary:
        means = {name: fmean(getattr(o, name) for o in outcomes) for name in MEANS}
        return TraceSummary(
            trace=self.trace,
            policy=self.policy,
            seeds=self.seeds,
            peak=max(o.peak for o in outcomes),
            lower_bound=least,
            stopped_after=fmean(max(0.0, o.all_stopped - o.last_answer) for o in outcomes),
            **means,
        )


def compare(cases: Sequence[Case], processes: int = 1) -> list[TraceSummary]:
    """All cases, in their order, in ``processes`` processes."""
    if processes < 2:
        return [case.run() for case in cases]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(Case.run, cases))
