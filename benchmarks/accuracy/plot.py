"""Two panels: verification's ROC curve, and what is named over the threshold."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.identification import Identification
from benchmarks.accuracy.verification import Verification

RIGHT, FALSE_NAMES, WRONG = "#0072b2", "#d55e00", "#009e73"


def draw(
    path: Path, title: str, verification: Verification | None, identification: Identification | None
) -> None:
    """Leaves out what was not measured."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    if verification:
        _draw_roc(left, verification)
    if identification:
        _draw_names(right, identification)
    for axes, measured in ((left, verification), (right, identification)):
        axes.set_axis_on() if measured else axes.set_axis_off()
    figure.savefig(path, dpi=110)


def _draw_roc(axes: Axes, found: Verification) -> None:
    same, different = found.distances[found.same], found.distances[~found.same]
    thresholds = np.unique(found.distances[np.isfinite(found.distances)])
    accepted = 100 * np.searchsorted(np.sort(same), thresholds, "right") / len(same)
    false = 100 * np.searchsorted(np.sort(different), thresholds, "right") / len(different)
    axes.step(np.maximum(false, 100 / len(different) / 2), accepted, color=RIGHT, where="post")
    axes.set_xscale("log")
    axes.set_xlim(100 / len(different) / 2, 100)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(max(0, accepted[false <= 1].max(initial=0) - 10), 100.5)
    axes.set_xlabel("% of pairs of two people called the same")
    axes.set_ylabel("% of pairs of one person called the same")
    axes.set_title(
        f"{len(found.distances)} pairs: {100 * found.accuracy:.2f} "
        f"± {100 * found.standard_error:.2f} %"
    )
    axes.grid(alpha=0.3)


def _draw_names(axes: Axes, found: Identification) -> None:
    thresholds = [rate.threshold for rate in found.curve]
    for label, color, shares in (
        ("enrolled, given their name", RIGHT, [rate.right for rate in found.curve]),
        ("enrolled, given another's name", WRONG, [rate.wrong for rate in found.curve]),
        ("strangers given a name", FALSE_NAMES, [rate.false_names for rate in found.curve]),
    ):
        axes.plot(thresholds, [100 * share for share in shares], color=color, label=label)
    default = found.default.threshold
    axes.axvline(default, color="black", lw=1, label=f"default threshold: {default:g}")
    axes.set_xlim(0.5 * default, 1.5 * default)
    axes.set_ylim(-2, 102)
    axes.set_xlabel("threshold")
    axes.set_ylabel("% of photos")
    rank1 = f"rank-1 {100 * found.rank1:.1f} %"
    axes.set_title(f"{found.people} people enrolled from one photo, {rank1}")
    axes.grid(alpha=0.3)
    axes.legend(loc=(0.51, 0.58), fontsize=9)
