"""What no plan can stay below, however it knows all arrivals, boot and service times: proven.

The program of :mod:`benchmarks.offline_plan` with every rounding in the plan's favor, so that each
plan, whatever its times, gives a solution of the same cost:

- ``x[k]`` machines run at some time of step k, ``u[k]`` begin to; ``y[k]`` machine-seconds are
  billed in it. A machine's first minute covers ``minute - 1`` whole steps; what it covers of the
  first and the last step it touches is one step in sum, and is billed as such.
- Steps in which a machine boots from their beginning to their end do no work. Work is that of the
  tasks as the simulator draws them, and may be divided at will.
- By the end of a step, what has arrived one objective before is done, and at most what has arrived.

The bound is the solver's dual bound, valid whether or not it ended within its time. The bounds of
pieces add up where they are an objective and two minutes apart: a machine kept in between could
have been stopped and started for less.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from autoscale.keep_alive import LEAST_BILLED
from autoscale.simulation.environment import Environment, tasks_of
from autoscale.simulation.lower_bound import lower_bound
from benchmarks.linear_program import LinearProgram
from benchmarks.offline_plan import COARSE, FINE, MOST_STEPS, PENDING_SHARE, pieces


def offline_bound(
    arrivals: Sequence[float], environment: Environment, seed: int, seconds: float
) -> float:
    """Billed seconds; ``seconds`` limits the solver."""
    rng = random.Random(seed)
    work = [t.seconds / environment.processes for t in tasks_of(arrivals, environment, rng)]
    found, i = 0.0, 0
    for piece in pieces(arrivals, environment.slo + 2 * LEAST_BILLED):
        limit = seconds * len(piece) / len(arrivals)
        proven = _bound(piece, work[i : i + len(piece)], environment, limit)
        found += max(proven, lower_bound(piece, environment))
        i += len(piece)
    return found


def _bound(
    piece: Sequence[float], work: Sequence[float], environment: Environment, seconds: float
) -> float:
    length = piece[-1] - piece[0]
    grid = FINE if length / FINE <= MOST_STEPS else COARSE
    boot = environment.boot_mean * (1 - PENDING_SHARE)
    minute, boots = round(LEAST_BILLED / grid), math.floor(boot / grid)
    first = max(0, math.floor((piece[0] - boot - LEAST_BILLED) / grid))
    n = math.ceil((piece[-1] + environment.slo) / grid) + minute + 1 - first
    x, u, y, done = (np.arange(n) + n * i for i in range(4))
    program = LinearProgram(4 * n)
    program.cost[y] = 1
    program.cost[u] = grid
    program.upper[: 2 * n] = environment.cap
    program.integer[: 2 * n] = 1
    total = [0.0, *accumulate(work)]
    for k in range(n):
        before = [(x[k - 1], -1.0)] if k else []
        program.row([(x[k], 1), (u[k], -1), *before], at_most=0)
        program.row([(y[k], 1), (x[k], -grid)], at_most=0)
        whole = range(max(0, k - minute + 1), k)
        program.row([(y[k], 1), *((u[j], -grid) for j in whole)], at_least=0)
        young = range(max(0, k - minute + 1), k + 1)
        program.row([(x[k], 1), *((u[j], -1) for j in young)], at_least=0)
        progress = [(done[k], 1.0), *([(done[k - 1], -1.0)] if k else [])]
        booting = [(u[j], grid) for j in range(max(0, k - boots + 1), k)]
        edge = [(u[k - minute], -grid)] if k >= minute else []
        program.row([*progress, (y[k], -1), *edge, *booting], at_most=0)
        program.row([*progress, (x[k], -grid), (u[k], grid), *booting], at_most=0)
        program.row(progress, at_least=0)
        end = (first + k + 1) * grid
        program.upper[done[k]] = total[bisect_right(piece, end)]
        program.lower[done[k]] = total[bisect_right(piece, end - environment.slo)]
    solution = program.solve(seconds)
    return solution.bound if solution else 0.0
