"""The cheapest fleet for traffic known in advance: a mixed-integer program, executed.

In steps of :data:`FINE` seconds: ``x[k]`` machines run (and are billed) in step k, ``u[k]`` of them
begin to run then, ``done[k]`` machine-seconds of work are done by its end. A machine is billed 60 s
at least, boots take their mean, every photo is done within the objective.

The grid: 5 s, the least that HiGHS still solves. Traffic is cut where it pauses so long that no
machine would be kept; what is then still longer than :data:`MOST_STEPS` steps is cut at its longest
pauses, and where it never pauses :data:`COARSE` seconds are a step.

The plan is executed in the simulator, with the same foresight of boot times. Roundings that cost
least are tried first; a program whose photos are late is solved again with the next one.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autoscale.keep_alive import LEAST_BILLED
from autoscale.simulation.environment import Environment
from autoscale.simulation.simulator import RunResult, SimulatedMachine, Simulation
from benchmarks.linear_program import LinearProgram

FINE, COARSE = 5.0, 10.0
"""Seconds of a step."""
MOST_STEPS = 240
"""Steps of one program."""
SHORTEST_CUT = 40.0
"""Seconds of the shortest pause at which traffic that is too long is cut."""
PENDING_SHARE = 0.2
"""Share of a foreseen boot that is not billed, as in the simulator."""
ROUNDINGS = ((1.0, 0.0), (0.99, 0.5), (0.97, 1.0), (0.94, 1.0), (0.9, 1.0), (0.82, 1.0))
"""(share of a machine's capacity that is planned, steps by which deadlines are met early)."""


@dataclass(frozen=True)
class OfflinePlan:
    """Changes of the fleet: (time, machines that begin to run, machines that run from then on)."""

    changes: tuple[tuple[float, int, int], ...]


def offline_plan(
    arrivals: Sequence[float], environment: Environment, seed: int, seconds: float
) -> OfflinePlan:
    """A plan without a late photo; ``seconds`` limits the solver, for each time all is solved.

    Raises :class:`RuntimeError` when no plan is in time.
    """
    programs = _programs(arrivals, environment)
    lengths = [p[-1] - p[0] + environment.slo for p in programs]
    limits = [seconds * length / sum(lengths) for length in lengths]
    rounding, found = [0] * len(programs), [_NOTHING] * len(programs)
    again = set(range(len(programs)))
    while again:
        for i in sorted(again):
            while (part := _solve(programs[i], environment, limits[i], rounding[i])) is None:
                rounding[i] += 1
            found[i] = part
        plan = _joined(found)
        late = execute(plan, arrivals, environment, seed).late_arrivals
        again = {bisect_right([p[0] for p in programs], at) - 1 for at in late}
        for i in again:
            rounding[i] += 1
    return plan


def execute(
    plan: OfflinePlan, arrivals: Sequence[float], environment: Environment, seed: int
) -> RunResult:
    """What the plan comes to in the simulator."""
    return Simulation(arrivals, PlannedFleet(plan), environment, seed).run()


def pieces(arrivals: Sequence[float], apart: float) -> list[list[float]]:
    """Traffic cut where it pauses for more than ``apart`` seconds."""
    found: list[list[float]] = []
    for at in arrivals:
        if not found or at - found[-1][-1] > apart:
            found.append([])
        found[-1].append(at)
    return found


def _programs(arrivals: Sequence[float], environment: Environment) -> list[list[float]]:
    """Pieces that one program can hold, as far as there are pauses to cut at."""
    short: list[list[float]] = []
    todo = pieces(arrivals, environment.slo + LEAST_BILLED + environment.boot_mean)
    while todo:
        piece = todo.pop(0)
        pause, i = _longest_pause(piece)
        if (piece[-1] - piece[0]) / FINE <= MOST_STEPS or pause < SHORTEST_CUT:
            short.append(piece)
        else:
            todo[:0] = [piece[:i], piece[i:]]
    return short


def _longest_pause(piece: Sequence[float]) -> tuple[float, int]:
    """(seconds, index after it), away from both ends."""
    n = len(piece)
    pauses = [(b - a, i) for i, (a, b) in enumerate(pairwise(piece), start=1)]
    middle = [p for p in pauses if 0.15 * (piece[-1] - piece[0]) < piece[p[1]] - piece[0]]
    middle = [p for p in middle if piece[p[1]] - piece[0] < 0.85 * (piece[-1] - piece[0])]
    return max(middle, default=(0.0, n))


@dataclass(frozen=True)
class _Part:
    """The plan of one program: machines that run in each step, and machines that begin to."""

    grid: float
    first: int
    running: tuple[int, ...]
    starts: tuple[int, ...]


_NOTHING = _Part(FINE, 0, (), ())


def _joined(parts: Sequence[_Part]) -> OfflinePlan:
    starts: Counter[float] = Counter()
    level: Counter[float] = Counter()
    for part in parts:
        edges = pairwise((0, *part.running, 0))
        for k, (before, after) in enumerate(edges):
            level[(part.first + k) * part.grid] += after - before
        for k, count in enumerate(part.starts):
            starts[(part.first + k) * part.grid] += count
    changes, runs = [], 0
    for at in sorted(level):
        runs += level[at]
        if level[at] or starts[at]:
            changes.append((at, starts[at], runs))
    return OfflinePlan(tuple(changes))


def _solve(
    piece: Sequence[float],
    environment: Environment,
    seconds: float,
    rounding: int,
) -> _Part | None:
    """None when the solver has found no plan. Raises :class:`RuntimeError` after all roundings."""
    if rounding == len(ROUNDINGS):
        raise RuntimeError("no offline plan answers every photo in time")
    share, early = ROUNDINGS[rounding]
    grid = FINE if (piece[-1] - piece[0]) / FINE <= MOST_STEPS else COARSE
    first = max(0, math.floor((piece[0] - environment.boot_mean - 2 * grid) / grid))
    n = math.ceil((piece[-1] + environment.slo) / grid) + 1 - first
    boots = math.ceil(environment.boot_mean * (1 - PENDING_SHARE) / grid)
    minute = round(LEAST_BILLED / grid)
    each = environment.service / environment.processes
    x, u, done = (np.arange(n) + n * i for i in range(3))
    program = LinearProgram(3 * n)
    program.cost[x] = grid
    program.upper[:] = environment.cap
    program.integer[: 2 * n] = 1
    for k in range(n):
        before = [(x[k - 1], -1.0)] if k else []
        program.row([(x[k], 1), (u[k], -1), *before], at_most=0)
        young = range(max(0, k - minute + 1), k + 1)
        program.row([(x[k], 1), *((u[j], -1) for j in young)], at_least=0)
        progress = [(done[k], 1.0), *([(done[k - 1], -1.0)] if k else [])]
        booting = [(u[j], grid * share) for j in range(max(0, k - boots + 1), k + 1)]
        program.row([*progress, (x[k], -grid * share), *booting], at_most=0)
        program.row(progress, at_least=0)
        end = (first + k + 1) * grid
        deadline = end - environment.slo + early * grid + 3 * environment.service
        program.upper[done[k]] = each * bisect_right(piece, end - (0.5 + early / 2) * grid)
        due = each * bisect_right(piece, deadline)
        program.lower[done[k]] = min(program.upper[done[k]], due)
        if (first + k) * grid < environment.boot_mean * PENDING_SHARE:
            program.upper[u[k]] = 0
    solution = program.solve(seconds)
    if solution is None:
        return None
    whole = np.round(solution.values[: 2 * n]).astype(int)
    return _Part(grid, first, tuple(whole[:n].tolist()), tuple(whole[n:].tolist()))


class PlannedFleet:
    """Executes an offline plan."""

    period = 1.0
    foresees = True

    def __init__(self, plan: OfflinePlan) -> None:
        self._plan = plan

    def begin(self, simulation: Simulation, arrivals: Sequence[float]) -> None:
        self._started = 0

    def tick(self, simulation: Simulation) -> None:
        now, changes = simulation.now, self._plan.changes
        pending = simulation.environment.boot_mean * PENDING_SHARE
        due = sum(starts for at, starts, _ in changes if at <= now + pending)
        simulation.start(due - self._started)
        self._started = due
        keep = next((runs for at, _, runs in reversed(changes) if at <= now), 0)
        running = [s for s in simulation.servers if s.state == "running" and not s.draining]
        surplus = len(running) - keep
        if not keep and simulation.outstanding:
            surplus = min(surplus, len(running) - 1)
        for machine in sorted(running, key=_stop_order)[: max(0, surplus)]:
            if now - machine.runs_at >= LEAST_BILLED - 1:
                simulation.stop(machine)


def _stop_order(machine: SimulatedMachine) -> tuple[int, float]:
    return machine.busy, machine.runs_at
