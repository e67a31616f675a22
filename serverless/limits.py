"""What Lambda allows one video, looked at before the work. Beyond it there is the Celery task.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 15 minutes a run, 10 GB of
memory, 10 GB of ``/tmp``.
"""

from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from facerec_tasks.video.limits import VideoLimits

MAX_VIDEO_SECONDS = 15 * 60.0
"""Of the video: as long as the longest run, which decoding at real time just reaches."""
LONGEST_SIDE = 1280
"""Pixels of a stored frame: a video is thousands of them."""
RESERVE = 20.0
"""Seconds of a run kept for storing what was found and telling the next function."""
SPARE_BYTES = 16 * 1024 * 1024
"""Of ``/tmp``, left free."""
LEAST_SECONDS = 5
"""Seconds of decoding below which it is not begun."""
ELSEWHERE = "That is more than Lambda can do: send it to the Celery task recognize_video."
_ABOUT_LAMBDA = {RejectionCode.TOO_LARGE, RejectionCode.TOO_LONG, RejectionCode.TOO_COSTLY}


def check_size(size: int, free: int) -> None:
    """``free``: bytes of ``/tmp``. Raises :class:`Rejected`."""
    if size > free - SPARE_BYTES:
        raise Rejected(
            RejectionCode.TOO_LARGE,
            f"The video has {size} bytes, and there is room for {max(0, free - SPARE_BYTES)}.",
        )


def video_limits(remaining: float) -> VideoLimits:
    """What decoding may cost in a run that has ``remaining`` seconds left."""
    return VideoLimits(
        max_seconds=MAX_VIDEO_SECONDS,
        longest_side=LONGEST_SIDE,
        cpu_seconds=max(LEAST_SECONDS, int(remaining - RESERVE)),
    )


def remedy(code: RejectionCode) -> str:
    """What to do about a video that is refused for Lambda's sake; empty for the video's own."""
    return f" {ELSEWHERE}" if code in _ABOUT_LAMBDA else ""
