"""A decoded photo: a small copy to find faces in, and on demand a larger one to cut them from."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LoadDetail = Callable[[int], Image.Image]
"""Pixels wanted on the longer side -> the upright RGB picture, with at least as many if it has."""


@dataclass(eq=False)
class Picture:
    """One photo, or one frame of an animation, upright."""

    rgb: NDArray[np.uint8]
    """height x width x 3, contiguous, perhaps shrunk."""
    width: int
    height: int
    """Of the upright original."""
    frame: int = 0
    """Which page of a document or frame of an animation, from 0."""
    load_detail: LoadDetail | None = None
    """``None`` when ``rgb`` is all there is."""
    _detail: Image.Image | None = field(default=None, repr=False)
    _loaded: int = 0
    """What ``_detail`` was loaded for; the decoder's limits may have made it smaller."""

    @property
    def shrunk_by(self) -> float:
        """Longer side of the original over that of ``rgb``."""
        rows, columns = self.rgb.shape[:2]
        return float(max(self.width / columns, self.height / rows))

    def detail(self, longest: int) -> Image.Image:
        """The picture with ``longest`` pixels on its longer side, or more, or all it has.

        Kept until a larger one is asked for. RGB, upright.
        """
        longest = min(longest, max(self.width, self.height))
        if self.load_detail is None or longest <= max(self.rgb.shape[:2]):
            return Image.fromarray(self.rgb)
        if self._loaded < longest:
            self._detail, self._loaded = self.load_detail(longest), longest
        assert self._detail is not None
        return self._detail
