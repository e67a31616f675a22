"""Mixed-integer programs over time steps, solved by HiGHS through scipy.

https://docs.scipy.org/doc/scipy/reference/generated/scipy.optimize.milp.html
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

GAP = 0.004
"""Relative distance of plan and bound at which the solver may stop."""


@dataclass(frozen=True)
class Solution:
    """The best values that were found, and the proven bound of the objective."""

    values: "np.ndarray[Any, Any]"
    bound: float


class LinearProgram:
    """Minimizes ``cost @ v`` for ``lower <= v <= upper`` and the rows that were added."""

    def __init__(self, variables: int) -> None:
        self.cost = np.zeros(variables)
        self.lower = np.zeros(variables)
        self.upper = np.full(variables, np.inf)
        self.integer = np.zeros(variables)
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._values: list[float] = []
        self._low: list[float] = []
        self._high: list[float] = []

    def row(
        self,
        terms: Sequence[tuple[int, float]],
        *,
        at_least: float = -np.inf,
        at_most: float = np.inf,
    ) -> None:
        """One inequality over (variable, factor) terms."""
        for column, value in terms:
            self._rows.append(len(self._low))
            self._columns.append(column)
            self._values.append(value)
        self._low.append(at_least)
        self._high.append(at_most)

    def solve(self, seconds: float) -> Solution | None:
        """None when nothing feasible was found within ``seconds``."""
        shape = (len(self._low), len(self.cost))
        matrix = csr_matrix((self._values, (self._rows, self._columns)), shape)
        answer = milp(
            self.cost,
            constraints=LinearConstraint(matrix, self._low, self._high),
            bounds=Bounds(self.lower, self.upper),
            integrality=self.integer,
            options={"time_limit": max(1.0, seconds), "mip_rel_gap": GAP},
        )
        bound = float(answer.mip_dual_bound) if answer.mip_dual_bound is not None else 0.0
        if answer.x is None:
            return None
        return Solution(answer.x, bound)
