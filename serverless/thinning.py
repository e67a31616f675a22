"""Selects the frames that go to stage 1. Pure."""

MOST = 900
"""Frames kept of the whole video at a steady pace; as many again where scenes begin. Of a video of
15 minutes one a second: near enough for a face to be followed from one to the next."""
CLOSEST = 0.5
"""Seconds between two frames of a video of up to seven minutes."""


class Thinning:
    """Says frame by frame, in order, whether it is kept.

    The steady distance follows from the duration the header claims. A header may say nothing or
    lie: whenever :data:`MOST` frames were kept, the distance doubles, so that a video of any length
    leaves hundreds of frames, not thousands.
    """

    def __init__(self, seconds: float | None) -> None:
        self._every = max(CLOSEST, (seconds or 0.0) / MOST)
        self._last: float | None = None
        self._steady = 0
        self._cuts = 0

    def keeps(self, time: float, cut: bool) -> bool:
        """``time``: seconds since the first frame. ``cut``: whether a scene begins."""
        if self._last is not None and time - self._last < self._every - 1e-6:
            if not cut or self._cuts >= MOST:
                return False
            self._cuts += 1
        else:
            self._steady += 1
            if self._steady % MOST == 0:
                self._every *= 2
        self._last = time
        return True
