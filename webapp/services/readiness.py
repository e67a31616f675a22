"""Whether this process can serve a photo now, and what is missing if not."""

import threading
import time
from collections.abc import Callable

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import AwsError
from facerec_tasks.settings import Settings
from webapp.services.task_client import TaskClient

KEPT = 5.0
"""Seconds an examination holds: probes of many balancers cost no more calls than one's."""


class Readiness:
    """Examines what a photo needs on its way: bucket, request queue, response queue."""

    def __init__(
        self,
        settings: Settings,
        task_client: TaskClient,
        spool_fault: Callable[[], str | None],
    ) -> None:
        self._spool_fault = spool_fault
        self._settings = settings
        self._task_client = task_client
        self._found: tuple[str, ...] = ()
        self._examined_at = float("-inf")
        self._lock = threading.Lock()

    def missing(self) -> tuple[str, ...]:
        """One sentence for each thing that is missing; empty when ready."""
        if self._task_client.stopping:
            return ("this process stops",)
        with self._lock:
            if time.monotonic() - self._examined_at > KEPT:
                self._found = self._examine()
                self._examined_at = time.monotonic()
            return self._found

    def _examine(self) -> tuple[str, ...]:
        found = (self._bucket(), self._queue(), self._task_client.fault(), self._spool_fault())
        return tuple(fault for fault in found if fault)

    def _bucket(self) -> str | None:
        bucket = self._settings.in_bucket
        try:
            with translated():
                answer = client(self._settings, "s3").get_bucket_versioning(Bucket=bucket)
        except AwsError as error:
            return f"bucket {bucket}: {error}"
        return None if answer.get("Status") == "Enabled" else f"bucket {bucket}: not versioned"

    def _queue(self) -> str | None:
        queue = self._settings.request_queue
        try:
            with translated():
                client(self._settings, "sqs").get_queue_url(QueueName=queue)
        except AwsError as error:
            return f"queue {queue}: {error}"
        return None
