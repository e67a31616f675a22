"""Where FaceNet's weights come from: a given file, torch's cache, or the project's release.

``InceptionResnetV1(pretrained='vggface2')`` of facenet-pytorch downloads the same file to the same
place, so whoever has used that has the weights already.
"""

import os
from pathlib import Path

FILE_NAME = "20180402-114759-vggface2.pt"


class WeightsMissing(Exception):
    """Raised when no weights are at hand and they cannot be fetched; says what to do."""


def torch_cache() -> Path:
    """Where torch keeps checkpoints (``torch.hub``)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "checkpoints"


def locate(weights: Path | None = None) -> Path:
    """The checkpoint's path. Raises :class:`WeightsMissing`."""
    path = weights or torch_cache() / FILE_NAME
    if not path.is_file():
        raise WeightsMissing(f"{path} does not exist")
    return path
