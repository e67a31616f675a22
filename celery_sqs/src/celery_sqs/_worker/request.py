"""A task that keeps AMQP's promises on SQS: what its worker could not finish goes back.

Stock Celery tells the client FAILURE when a task exceeds its hard time limit and gives the message
back all the same, so that the task runs again after its failure was announced. Here nothing is
announced: the message becomes visible again after a growing delay and the next run answers.
"""

from billiard.einfo import ExceptionWithTraceback
from celery import Task as CeleryTask
from celery.exceptions import TimeLimitExceeded
from celery.utils.log import get_logger
from celery.worker.request import Request as CeleryRequest
from celery.worker.request import task_ready

logger = get_logger(__name__)

REQUEST = "celery_sqs._worker.request:Request"


class Request(CeleryRequest):
    """One delivery of a task to this worker, as the worker's parent process sees it."""

    __slots__ = ()

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The pool killed the child that ran this task too long."""
        if soft or not self.task.acks_late:
            super().on_timeout(soft, timeout)
        else:
            self._hand_back(timeout)

    def on_failure(self, exc_info, send_failed_event=True, return_ok=False):  # type: ignore[no-untyped-def]
        """The run ended badly; called for a time limit as well, before or after ``on_timeout``."""
        exc = exc_info.exception
        if isinstance(exc, ExceptionWithTraceback):  # as billiard carries it between processes
            exc = exc.exc
        if isinstance(exc, TimeLimitExceeded) and self.task.acks_late:
            return self._hand_back(exc.args[0] if exc.args else None)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _hand_back(self, timeout: float | None) -> None:
        if not self.acknowledged:
            logger.error("%s exceeded its time limit of %s s and is given back", self, timeout)
        task_ready(self)
        self.reject(requeue=True)


class Task(CeleryTask):
    """``task_cls`` of an application that wants these semantics."""

    abstract = True
    Request = REQUEST
