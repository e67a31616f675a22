"""The tasks: fetch a photo or a video, recognize who is on it, record the answer, answer."""

import logging
import time
from typing import Any

from celery.exceptions import Ignore, Reject

from facerec_tasks.app import app
from facerec_tasks.errors import AwsError, ConfigurationError, NotFound
from facerec_tasks.logs import request_id
from facerec_tasks.schemas import Answer
from facerec_tasks.settings import get_settings
from facerec_tasks.tasks.idempotent import IdempotentTask
from facerec_tasks.tasks.video import VideoTask
from facerec_tasks.tasks.worker_context import engine, storage

log = logging.getLogger(__name__)


@app.task(bind=True, name="facerec_tasks.tasks.recognize")
def recognize(self: Any, key: str, version: str | None = None) -> dict[str, Any]:
    """Recognizes that version of a photo of the in-bucket; returns ``Answer.to_dict()``.

    Runs at least once, takes effect once: the first record written is the answer. Raises
    :class:`celery.exceptions.Reject`: to be tried again later, or, without requeue, dead-lettered.
    """
    return _done(PhotoTask(self, key, version))


@app.task(
    bind=True,
    name="facerec_tasks.tasks.recognize_video",
    time_limit=get_settings().video_time_limit,
)
def recognize_video(self: Any, key: str, version: str | None = None) -> dict[str, Any]:
    """Finds who is seen when in that version of a video of the in-bucket.

    Returns :meth:`.messages.Answer.to_message`. A long video takes several runs of this task, see
    :mod:`facerec_tasks.tasks.video`. Raises as :func:`recognize`, and
    :class:`celery.exceptions.Ignore` when another run goes on.
    """
    return _done(VideoTask(self, key, version))


def _done(job: IdempotentTask) -> dict[str, Any]:
    request_id.set(job.request_id)
    try:
        return job.run().to_message()
    except (AwsError, ConfigurationError) as error:
        log.warning("not now, back to the queue: %s", error)
        job.forget_start()
        raise Reject(str(error), requeue=True) from error
    except (Reject, Ignore):
        raise
    except Exception as error:  # a bug must not answer for the photo: retried, dead-lettered
        log.exception("task failed at %s", job.key)
        raise Reject(repr(error), requeue=True) from error


class PhotoTask(IdempotentTask):
    """A photo: looked at in one go."""

    def _work(self) -> Answer:
        begin = time.monotonic()
        try:
            photo = storage().photos.get(self.key, self._version)
        except NotFound as error:
            return self._answer(outcome="rejected", code="photo-gone", detail=str(error))
        if self._again:
            self._count_start()
        fields = engine()(photo)
        log.info("recognized %s in %.3f s", self.key, time.monotonic() - begin)
        return self._answer(**fields)
