"""Why a photo or a video is refused: one closed list of codes for both."""

from enum import StrEnum


class RejectionCode(StrEnum):
    """The reason. The list is closed: web pages and clients rely on it."""

    EMPTY = "empty"
    TOO_LARGE = "too-large"
    """More bytes than allowed."""
    TOO_MANY_PIXELS = "too-many-pixels"
    """Wider, higher or costlier to decode than allowed."""

    NOT_A_PICTURE = "not-a-picture"
    UNSUPPORTED_FORMAT = "unsupported-format"
    """A picture of a format that is not read."""
    BROKEN_PICTURE = "broken-picture"
    """Begins as a picture and cannot be decoded: cut short, damaged, contradictory."""

    NOT_A_VIDEO = "not-a-video"
    """Begins as none of the containers that are read."""
    UNSUPPORTED_CODEC = "unsupported-codec"
    """A video whose pictures are coded in a way that is not read."""
    NO_VIDEO_STREAM = "no-video-stream"
    """Sound, subtitles or a cover picture only."""
    NO_FRAMES = "no-frames"
    """A video stream without one picture that can be decoded."""
    BROKEN_VIDEO = "broken-video"
    """Begins as a video and cannot be read: damaged or contradictory."""
    TRUNCATED_VIDEO = "truncated-video"
    """Cut short before anything could be decoded: what describes the pictures is missing."""
    TOO_LONG = "too-long"
    """Lasts longer than allowed."""
    TOO_COSTLY = "too-costly"
    """Took more time or memory to decode than allowed, or stopped giving frames."""
    CRASHED_DECODER = "crashed-decoder"
    """The decoder crashed on it."""


class Rejected(Exception):
    """Raised when the photo or video itself is at fault; trying again would change nothing."""

    def __init__(self, code: RejectionCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        """One sentence for the person who sent it."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
