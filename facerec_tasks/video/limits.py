"""What one video may cost. A hostile file meets the operating system's limits, not our patience."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoLimits:
    """Each is checked where it can be checked first; the decoder's process has the last word."""

    max_bytes: int = 10 * 1024**3
    max_seconds: float = 4 * 3600.0
    """Of the video."""
    max_frames: int = 2_000_000
    """Decoded in one go: 4 hours at 120 frames a second."""
    max_pixels: int = 4096 * 2304
    """Of one coded frame: 4K of cinema and television, with room for padding."""
    max_streams: int = 64
    longest_side: int = 4096
    """Pixels of the longer side of a frame handed out: faces are found in a copy of 1,280 and cut
    from this."""
    memory: int = 2 * 1024**3
    """Bytes of address space of the decoder's process. 4K of HEVC takes a third of it."""
    cpu_seconds: int = 4 * 3600
    """Of the decoder's process, start to end."""
    silence: float = 30.0
    """Seconds without a sign of progress after which the decoder is ended."""


DEFAULT_VIDEO_LIMITS = VideoLimits()
