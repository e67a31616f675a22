"""Errors of the video pipeline that are not the video's fault.

A fault of the video itself is a :class:`facerec_tasks.recognition.rejection.Rejected`.
"""


class DecoderCrashed(Exception):
    """Raised when the decoder's process was killed from outside or cannot be started: try again."""
