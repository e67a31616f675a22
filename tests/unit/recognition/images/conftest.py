"""Other limits for the decoder."""

from collections.abc import Callable

import pytest

from facerec_tasks.recognition.images import decoding
from facerec_tasks.recognition.images.limits import ImageLimits


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``limit(max_bytes=100)``: that one differs, the others are as usual."""
    return lambda **limits: monkeypatch.setattr(decoding, "LIMITS", ImageLimits(**limits))
