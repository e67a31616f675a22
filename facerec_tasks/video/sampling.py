"""Which frames are worth a look: a few a second, and every beginning of a scene.

People stay where they are for seconds; what changes who is seen is a cut. So frames are handed out
at a steady cadence, at once after a cut, and once more soon after it, when a cross-fade is over.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THUMBNAIL = (64, 36)
"""Width and height of the shrunken frames that are compared."""
CUT = 18.0
"""Mean difference of two frames in a row, of 255, below which there is no cut."""
CUT_FACTOR = 3.0
"""How many times the usual difference a cut is: a pan or a flickering lamp is none."""
WINDOW = 8
"""Frames that say what is usual."""
CUT_GAP = 0.12
"""Seconds between two samples, however often a video cuts."""

Thumbnail = NDArray[np.uint8]


@dataclass(frozen=True)
class Sampling:
    """Which frames are handed out."""

    every: float = 0.5
    """Seconds; 0 for every frame."""
    cuts: bool = True
    """Also where scenes begin."""
    shrunk: bool = True
    """Shrink frames to ``VideoLimits.longest_side``."""


EVERY_FRAME = Sampling(every=0.0, cuts=False)


@dataclass(frozen=True)
class FramePosition:
    """Where an earlier reading ended: the last frame it handed out."""

    time: float
    cut: bool


class FrameSampler:
    """Decides frame by frame, from what came before alone. Times are seconds, ascending."""

    def __init__(self, sampling: Sampling, after: FramePosition | None = None) -> None:
        """``after``: to go on from there."""
        self._sampling = sampling
        self._last = after.time if after else None
        self._soon = after is not None and after.cut
        self._previous: NDArray[np.int16] | None = None
        self._usual: deque[float] = deque(maxlen=WINDOW)

    @property
    def wants_thumbnails(self) -> bool:
        return self._sampling.cuts

    def select(self, time: float, thumbnail: Thumbnail | None) -> tuple[bool, bool]:
        """Whether this frame is handed out, and whether a scene begins with it."""
        cut = thumbnail is not None and self._is_cut(thumbnail)
        if not self._is_due(time, cut):
            return False, False
        cut = cut or self._last is None
        self._last, self._soon = time, cut
        return True, cut

    def _is_due(self, time: float, cut: bool) -> bool:
        if self._last is None:
            return True
        since = time - self._last
        if self._sampling.every == 0:
            return since > 0
        if cut:
            return since >= CUT_GAP
        return since >= (self._sampling.every / 2 if self._soon else self._sampling.every) - 1e-6

    def _is_cut(self, thumbnail: Thumbnail) -> bool:
        now = thumbnail.astype(np.int16)
        before, self._previous = self._previous, now
        if before is None:
            return False
        difference = float(np.abs(now - before).mean())
        usual = sum(self._usual) / len(self._usual) if self._usual else 0.0
        self._usual.append(difference)
        return difference >= CUT and difference >= CUT_FACTOR * usual
