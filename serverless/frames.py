"""What ``video-splitting`` leaves for ``face-recognition``: pictures, and a list with their times.

``<video name>/<version>/output-00.jpg`` and so on, then ``frames.json``, which is written last:
where it is, the video was split. The version keeps the frames of two uploads of one name apart,
and makes splitting a video twice write the same objects again.
"""

from dataclasses import dataclass
from typing import Self

from pydantic import TypeAdapter

from serverless.uploads import VideoUpload


@dataclass(frozen=True)
class StoredFrame:
    """One picture of a video."""

    key: str
    """In the stage-1 bucket."""
    time: float
    """Seconds since the video's first frame."""
    cut: bool
    """Whether a scene begins with it."""


@dataclass(frozen=True)
class FrameRejection:
    """Why there are no frames: the video's fault, or more than Lambda can do."""

    code: str
    """``facerec_tasks.recognition.rejection.RejectionCode``, or ``video-gone``."""
    detail: str
    """One sentence for the person who sent the video."""


@dataclass(frozen=True)
class SplitVideo:
    """The frames of one upload, or why there are none."""

    upload: VideoUpload
    frames: tuple[StoredFrame, ...]
    """Ascending in time."""
    seconds: float | None = None
    """Of the video, up to its last frame that was looked at."""
    complete: bool = True
    """False: cut short or damaged, and only what could be read was."""
    refusal: FrameRejection | None = None

    def to_json(self) -> bytes:
        return _split.dump_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises :class:`ValueError` for anything :meth:`to_json` could not have made."""
        return _split.validate_json(data)  # type: ignore[return-value]


_split = TypeAdapter(SplitVideo)


def frame_key(upload: VideoUpload, number: int) -> str:
    return f"{_folder(upload)}/output-{number:02d}.jpg"


def list_key(upload: VideoUpload) -> str:
    return f"{_folder(upload)}/frames.json"


def _folder(upload: VideoUpload) -> str:
    return f"{upload.name}/{upload.version}"
