"""The cheapest fleet for traffic known in advance: a mixed-integer program, solved by HiGHS.

On a grid of some seconds: ``x[k]`` machines run (and are billed) in step k, ``u[k]`` of them begin
to run then, ``served[k]`` photos are done by its end. A machine is billed 60 s at least, boots take
their mean, every photo is done within the objective. Traffic that pauses long enough for no machine
to be worth keeping is cut there and solved piece by piece.

The plan is then executed in the simulator, with the same foresight of boot times, and counts only
with no photo late. The bound is the solver's dual bound of the same program with every rounding in
the plan's favor: no plan on this grid is cheaper. HiGHS through
https://docs.scipy.org/doc/scipy/reference/generated/scipy.optimize.milp.html
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from autoscale.simulation.simulator import (
    LEAST_BILLED,
    Environment,
    RunResult,
    SimulatedMachine,
    Simulation,
)

FINE, COARSE = 5.0, 10.0
"""Seconds of a step: fine where the traffic has few steps."""
FEW = 300
PENDING_SHARE = 0.2
"""Share of a foreseen boot that is not billed, as in the simulator."""
CAPACITY_SHARES = (0.99, 0.96, 0.92, 0.87, 0.8)
"""Shares of a machine's capacity that are planned, tried in order until no photo is late."""
GAP = 0.004


@dataclass(frozen=True)
class OfflinePlan:
    """Machines by step of the grid, from time 0."""

    grid: float
    running: tuple[int, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Optimum:
    """The best plan that was found, executed; and what no plan on the grid can stay below."""

    result: RunResult
    bound: float


def optimum(
    arrivals: Sequence[float], environment: Environment, seed: int, seconds: float = 15.0
) -> Optimum:
    """Solves, executes, and plans more carefully while a photo is late.

    ``seconds`` limits each solve. Raises :class:`RuntimeError` when no plan is in time.
    """
    bound = sum(
        _solve(piece, environment, seconds * weight, _grid(piece), share=1.0, relaxed=True)[1]
        for piece, weight in _pieces(arrivals, environment)
    )
    best: RunResult | None = None
    for share in CAPACITY_SHARES:
        plan = _plan(arrivals, environment, seconds, share)
        result = Simulation(arrivals, PlannedFleet(plan), environment, seed).run()
        if result.late == 0 and (best is None or result.billed < best.billed):
            best = result
        if best is not None:
            return Optimum(best, bound)
    raise RuntimeError("no offline plan answers every photo in time")


def _grid(piece: Sequence[float]) -> float:
    return FINE if (piece[-1] - piece[0]) / FINE <= FEW else COARSE


def _pieces(arrivals: Sequence[float], environment: Environment) -> list[tuple[list[float], float]]:
    """(arrivals, share of all steps), cut where booting again is cheaper than keeping."""
    apart = environment.slo + LEAST_BILLED + environment.boot_mean
    pieces: list[list[float]] = []
    for at in arrivals:
        if not pieces or at - pieces[-1][-1] > apart:
            pieces.append([])
        pieces[-1].append(at)
    lengths = [p[-1] - p[0] + apart for p in pieces]
    return [(p, length / sum(lengths)) for p, length in zip(pieces, lengths, strict=True)]


def _plan(
    arrivals: Sequence[float], environment: Environment, seconds: float, share: float
) -> OfflinePlan:
    steps = int((arrivals[-1] + environment.slo) / FINE) + 80
    running, starts = [0] * steps, [0] * steps
    for piece, weight in _pieces(arrivals, environment):
        grid = _grid(piece)
        plan, _ = _solve(piece, environment, seconds * weight, grid, share, relaxed=False)
        times = int(grid / FINE)
        first = times * _first_step(piece, environment, grid)
        for k, (n, u) in enumerate(zip(plan.running, plan.starts, strict=True)):
            at = first + times * k
            if at < steps:
                starts[at] += u
            for step in range(at, min(steps, at + times)):
                running[step] += n
    return OfflinePlan(FINE, tuple(running), tuple(starts))


def _first_step(piece: Sequence[float], environment: Environment, grid: float) -> int:
    """The step in which a machine that is to serve the first arrival at once begins to run."""
    return max(0, math.floor((piece[0] - environment.boot_mean - 2 * grid) / grid))


def _solve(
    piece: Sequence[float],
    environment: Environment,
    seconds: float,
    grid: float,
    share: float,
    *,
    relaxed: bool,
) -> tuple[OfflinePlan, float]:
    """(plan, dual bound)"""
    first = _first_step(piece, environment, grid)
    begin = first * grid
    n = math.ceil((piece[-1] + environment.slo - begin) / grid) + 1
    boot = environment.boot_mean * (1 - PENDING_SHARE)
    boots = math.floor(boot / grid) if relaxed else math.ceil(boot / grid)
    minute = round(LEAST_BILLED / grid)
    each = environment.processes / environment.service * grid * share
    x, u, served = (np.arange(n) + n * i for i in range(3))
    rows, columns, values, low, high = [], [], [], [], []

    def row(terms: list[tuple[int, float]], lowest: float, highest: float) -> None:
        for column, value in terms:
            rows.append(len(low))
            columns.append(column)
            values.append(value)
        low.append(lowest)
        high.append(highest)

    for k in range(n):
        before = [(x[k - 1], -1.0)] if k else []
        row([(x[k], 1), (u[k], -1), *before], -np.inf, 0)
        row([(x[k], 1), *((u[j], -1) for j in range(max(0, k - minute + 1), k + 1))], 0, np.inf)
        done = [(served[k], 1.0), *([(served[k - 1], -1.0)] if k else [])]
        booting = [(u[j], each) for j in range(max(0, k - boots + 1), k + 1)]
        row([*done, (x[k], -each), *booting], -np.inf, 0)
        row(done, 0, np.inf)

    def arrived(t: float) -> int:
        return bisect_right(piece, t)

    lower, upper = np.zeros(3 * n), np.full(3 * n, float(environment.cap))
    for k in range(n):
        at = begin + k * grid
        if relaxed:
            upper[served[k]] = arrived(at + grid)
            lower[served[k]] = arrived(at + grid - environment.slo)
        else:
            upper[served[k]] = arrived(at)
            lower[served[k]] = min(
                upper[served[k]], arrived(at + 2 * grid - environment.slo + 3 * environment.service)
            )
        if at < environment.boot_mean * PENDING_SHARE:
            upper[u[k]] = 0
    cost = np.zeros(3 * n)
    cost[:n] = grid
    matrix = csr_matrix((values, (rows, columns)), (len(low), 3 * n))
    answer = milp(
        cost,
        constraints=LinearConstraint(matrix, low, high),
        bounds=Bounds(lower, upper),
        integrality=np.concatenate([np.ones(2 * n), np.zeros(n)]),
        options={"time_limit": max(2.0, seconds), "mip_rel_gap": GAP},
    )
    if answer.x is None:
        raise RuntimeError(f"HiGHS found no plan: {answer.message}")
    whole = np.round(answer.x[: 2 * n]).astype(int)
    bound = float(answer.mip_dual_bound if answer.mip_dual_bound is not None else 0.0)
    return OfflinePlan(grid, tuple(whole[:n]), tuple(whole[n:])), bound


class PlannedFleet:
    """Executes an offline plan."""

    period = 1.0
    foresees = True

    def __init__(self, plan: OfflinePlan) -> None:
        self._plan = plan

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._started = 0

    def tick(self, simulation: Simulation) -> None:
        plan, now, grid = self._plan, simulation.now, self._plan.grid
        pending = simulation.environment.boot_mean * PENDING_SHARE
        due = sum(plan.starts[: int((now + pending) / grid) + 1])
        simulation.start(due - self._started)
        self._started = due
        step = int(now / grid)
        keep = plan.running[step] if step < len(plan.running) else 0
        running = [s for s in simulation.servers if s.state == "running" and not s.draining]
        surplus = len(running) - keep
        if not keep and simulation.outstanding:
            surplus = min(surplus, len(running) - 1)
        for machine in sorted(running, key=_stop_order)[: max(0, surplus)]:
            if now - machine.runs_at >= LEAST_BILLED - 1:
                simulation.stop(machine)


def _stop_order(machine: SimulatedMachine) -> tuple[int, float]:
    return machine.busy, machine.runs_at
