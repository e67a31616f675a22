"""The plot of a calibration: both error rates over the threshold, and the worst confusions."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from PIL import Image, ImageOps

from facerec_tasks.recognition.gallery.accuracy import Confusion, Rates

MISSED, FPIR = "#0072b2", "#d55e00"
"""Okabe and Ito's blue and vermilion: told apart by everybody."""
PERCENTS = (0, 0.5, 1, 2, 5, 10, 20, 50, 100)
MOST_PAIRS = 5
THUMBNAIL = 160


def draw(
    path: Path,
    measured: Sequence[Rates],
    marks: Mapping[str, float],
    pairs: Sequence[tuple[Confusion, tuple[bytes | None, bytes | None]]] = (),
) -> None:
    """Writes the picture; the suffix of ``path`` says in which format (png, svg, pdf).

    ``marks`` are thresholds by what they are called; ``pairs`` come with the two photos.
    """
    pairs = pairs[:MOST_PAIRS]
    above: FigureBase
    figure = Figure(figsize=(10, 8.5 if pairs else 5), layout="constrained")
    if pairs:
        grid = figure.add_gridspec(2, 1, height_ratios=[1.35, 1])
        above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
        _draw_pairs(below.subplots(2, MOST_PAIRS, squeeze=False).tolist(), pairs)
        below.suptitle("worst confusions: the most alike photos of two people", fontsize=11)
    else:
        above = figure
    _draw_rates(above.subplots(), measured, marks)
    figure.savefig(path, dpi=110)


def _draw_rates(axes: Axes, measured: Sequence[Rates], marks: Mapping[str, float]) -> None:
    thresholds = [rate.threshold for rate in measured]
    missed = [100 * rate.fnir for rate in measured]
    fpir = [100 * rate.fpir for rate in measured]
    unmeasured = all(math.isnan(share) for share in missed)
    label = "enrolled people not given their name"
    label += ": not measured, nobody has two photos" if unmeasured else ""
    axes.plot(thresholds, missed, color=MISSED, label=label)
    axes.plot(thresholds, fpir, color=FPIR, label="strangers given a name")
    for (label, threshold), style in zip(marks.items(), ("-", "--", ":"), strict=False):
        axes.axvline(threshold, color="black", lw=1, ls=style, label=f"{label}: {threshold:g}")
    axes.set_xlim(*_worth_showing(measured))
    axes.set_yscale("symlog", linthresh=1)  # what matters are the last few percent
    axes.set_yticks(PERCENTS, [f"{percent:g}" for percent in PERCENTS])
    axes.set_ylim(-0.05, 110)
    axes.set_xlabel("threshold (largest distance that is given a name)")
    axes.set_ylabel("% of photos")
    axes.grid(alpha=0.3)
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=9)


def _worth_showing(measured: Sequence[Rates]) -> tuple[float, float]:
    """From where the first are named to where no more strangers are."""
    named = [rate.threshold for rate in measured if rate.right > 0 or rate.fpir > 0]
    most = max((rate.fpir for rate in measured), default=0)
    last = [rate.threshold for rate in measured if rate.fpir >= most]
    return max(min(named, default=0) - 0.02, 0), min(last, default=1) + 0.02


def _draw_pairs(
    grid: Sequence[Sequence[Axes]],
    pairs: Sequence[tuple[Confusion, tuple[bytes | None, bytes | None]]],
) -> None:
    for line in grid:
        for axes in line:
            axes.axis("off")
    for column, (confusion, photos) in enumerate(pairs):
        for line, name, photo in zip(grid, confusion.names, photos, strict=True):
            if photo is not None:
                line[column].imshow(_thumbnail(photo))
            line[column].set_title(_short(name), fontsize=8)
        grid[1][column].text(
            0.5, -0.1, f"{confusion.distance:.3f}", ha="center", va="top", fontsize=9,
            transform=grid[1][column].transAxes,
        )  # fmt: skip


def _thumbnail(photo: bytes) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
        return ImageOps.fit(upright, (THUMBNAIL, THUMBNAIL))


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"
