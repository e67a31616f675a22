"""Why a video is refused, and what happens when nobody knows why."""

from enum import StrEnum


class RejectionCode(StrEnum):
    """Why a video is refused. The list is closed: web pages and clients rely on it."""

    EMPTY = "empty"
    TOO_LARGE = "too-large"
    """More bytes than allowed."""
    NOT_A_VIDEO = "not-a-video"
    """Begins as none of the containers we read."""
    UNSUPPORTED = "unsupported-codec"
    """A video, but its pictures are coded in a way we do not read."""
    NO_VIDEO = "no-video-stream"
    """Sound, subtitles or a cover picture only."""
    NO_FRAMES = "no-frames"
    """A video stream without one picture that can be decoded."""
    BROKEN = "broken-video"
    """Begins as a video and cannot be read: damaged or contradictory."""
    TRUNCATED = "truncated-video"
    """Cut short before anything could be decoded: what describes the pictures is missing."""
    TOO_LONG = "too-long"
    """Lasts longer than allowed."""
    TOO_MANY_PIXELS = "too-many-pixels"
    TOO_COSTLY = "too-costly"
    """Took more time or memory to decode than allowed, or stopped giving frames."""
    CRASHED = "crashed-decoder"
    """The decoder died of it."""


class Rejected(Exception):
    """Raised when the video itself is at fault; trying again would change nothing."""

    def __init__(self, code: RejectionCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        """One sentence for the person who sent the video."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class DecoderLost(Exception):
    """Raised when somebody else ended the decoder, or it could not be started: try again."""
