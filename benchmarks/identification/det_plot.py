"""The DET curve (ISO/IEC 19795-1): what is missed over what is named falsely, at all thresholds."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.identification.protocol import IdentificationRun

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Okabe and Ito's: told apart by everybody."""


def draw(path: Path, title: str, found: Sequence[IdentificationRun], target: float) -> None:
    """Left the DET curves of all sizes, right what answers say of themselves and what holds."""
    figure = Figure(figsize=(12, 5.5), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    _draw_det(left, found, target)
    _draw_confidence(right, found)
    figure.savefig(path, dpi=110)


def _draw_det(axes: Axes, found: Sequence[IdentificationRun], target: float) -> None:
    least = 100 / max(one.strangers for one in found) / 2
    lowest = 100 / max(one.probes for one in found) / 2
    for one, color in zip(found, COLORS, strict=False):
        fpir, fnir = (100 * np.maximum(rates, 0) for rates in one.det)
        axes.step(
            np.maximum(fpir, least), np.maximum(fnir, lowest), where="post", color=color,
            label=f"{one.people:,} people, {one.photos} photo{'s' * (one.photos > 1)} each",
        )  # fmt: skip
        at = max(100 * one.strangers_named, least), max(100 * (1 - one.right), lowest)
        axes.plot(*at, "o", color=color, label=f"threshold {one.threshold:.3f}")
    axes.axvline(100 * target, color="black", lw=1, ls="--", label="target FPIR")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(least, 100)
    axes.set_ylim(lowest, 100)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.set_xlabel("FPIR: % of searches of strangers that return somebody")
    axes.set_ylabel("FNIR: % of searches of enrolled people that do not return them")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="upper right")


def _draw_confidence(axes: Axes, found: Sequence[IdentificationRun]) -> None:
    axes.plot([0, 100], [0, 100], color="black", lw=1, ls="--")
    for one, color in zip(found, COLORS, strict=False):
        says = [100 * bin.says for bin in one.confidence]
        holds = [100 * bin.holds for bin in one.confidence]
        areas = [10 + 3 * math.sqrt(bin.answers) for bin in one.confidence]
        axes.scatter(says, holds, areas, color=color, alpha=0.7, label=f"{one.people:,} people")
    axes.set_xlim(0, 101)
    axes.set_ylim(-1, 101)
    axes.set_xlabel("confidence of the answer, %")
    axes.set_ylabel("% of these answers that are true")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
