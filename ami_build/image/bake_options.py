"""Options and result of a bake."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ami_build.image.registry import KEEP
from facerec_tasks.errors import FacerecError


class BakeFailed(FacerecError):
    """Raised when no image came of it; says at which step and shows the end of the log."""


@dataclass(frozen=True)
class BakeOptions:
    """What to bake, on what, within which time."""

    base_image: str = ""
    """Id; the newest Debian 12 by default."""
    instance_type: str = "c7i.large"
    subnet: str = ""
    """Where the machine reaches PyPI and Debian; the default VPC's by default."""
    weights: Path | None = None
    """A FaceNet checkpoint to convert as well."""
    keep: int = KEEP
    deadline: float = 1800.0
    """Seconds from the launch to the report, and again from there to the image."""


@dataclass(frozen=True)
class BakeResult:
    """What came of it."""

    version: str
    image: str
    source: str
    """Of the sources, as git describes it."""
    base_image: str
    dropped: tuple[str, ...]
    """Versions that are kept no longer."""
    seconds: float
    report: Mapping[str, Any]
    """What the machine said of itself."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))
