"""Videos the tests of this package share; made once, since coding costs more than decoding."""

from pathlib import Path

import pytest

from facerec_tasks.video.reader import Frame, VideoReader
from facerec_tasks.video.sampling import Sampling
from local.samples.videos import Coding, Shot, write

SHOTS = (
    Shot(("Grace_Hopper",), 1.2, "pan"),
    Shot(("Eileen_Collins",), 1.2),
    Shot((), 0.6),
)
SMALL = Coding(width=320, height=180)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shots, 3 s, 25 frames a second, H.264 in MP4."""
    return write(tmp_path_factory.mktemp("video") / "clip.mp4", SHOTS, SMALL)


def frames_of(path: Path, sampling: Sampling | None = None) -> list[Frame]:
    with VideoReader(path, sampling) as video:
        return list(video)
