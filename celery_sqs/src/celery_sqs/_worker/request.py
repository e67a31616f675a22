"""A task that keeps AMQP's promises on SQS: what its worker could not finish is requeued.

Stock Celery reports FAILURE when a task exceeds its hard time limit and requeues the message all
the same, so that the task runs again after its failure was reported. Here nothing is reported: the
message becomes visible again after a growing delay and the next run has the result.
"""

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery import Task as CeleryTask
from celery.exceptions import TimeLimitExceeded
from celery.utils.log import get_logger
from celery.worker.request import Request as CeleryRequest
from celery.worker.request import task_ready

from celery_sqs._broker.channel import Channel
from celery_sqs._results.chord_bodies import is_revoked

logger = get_logger(__name__)

REQUEST = "celery_sqs._worker.request:Request"


class Request(CeleryRequest):
    """One delivery of a task to this worker, as the worker's parent process sees it."""

    __slots__ = ()

    def revoked(self) -> bool:
        """Celery asks just before it runs the task.

        A message that was held too long, as by a worker that was frozen, is visible to others by
        now: it is left to them.
        """
        channel, receipt = self.message.channel, self.message.delivery_tag
        if isinstance(channel, Channel) and channel.is_lost(receipt):
            logger.warning("%s is not run here: its message became visible to others", self)
            channel.abandon(receipt)
            task_ready(self)
            return True
        if is_revoked(self.task.backend, self.request_dict):
            logger.warning("%s is not run: another copy of this chord's body is", self)
            self.acknowledge()
            task_ready(self)
            return True
        return bool(super().revoked())

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The pool killed the child that ran this task too long."""
        if soft or not self.task.acks_late:
            super().on_timeout(soft, timeout)
        else:
            self._requeue(timeout)

    def on_failure(self, exc_info, send_failed_event=True, return_ok=False):  # type: ignore[no-untyped-def]
        """The run ended badly; called for a time limit as well, before or after ``on_timeout``."""
        exc = exc_info.exception
        if isinstance(exc, ExceptionWithTraceback):  # as billiard carries it between processes
            exc = exc.exc
        if isinstance(exc, TimeLimitExceeded) and self.task.acks_late:
            return self._requeue(exc.args[0] if exc.args else None)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _success_was_stored(self) -> Any:
        """Celery asks when a child has died: a task whose result is stored is not run again.

        A chord's part is: it may have died between storing its result and being counted.
        """
        return False if self._context.chord else super()._success_was_stored()

    def _requeue(self, timeout: float | None) -> None:
        if not self.acknowledged:
            logger.error("%s exceeded its time limit of %s s and is requeued", self, timeout)
        task_ready(self)
        self.reject(requeue=True)


class Task(CeleryTask):
    """``task_cls`` of an application that wants these semantics."""

    abstract = True
    Request = REQUEST
