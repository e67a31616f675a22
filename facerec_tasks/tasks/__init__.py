"""The Celery tasks. Importing this package brings no engine; :mod:`.people` needs one."""

from facerec_tasks.tasks.recognition import recognize, recognize_video

__all__ = ["recognize", "recognize_video"]
