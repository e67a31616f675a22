"""Base of the views whose requests are answered by workers."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from flask import request

from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT
from webapp.http import forms
from webapp.http.errors import Problem, retry_later
from webapp.services.enrolled_people import EnrolledPeople
from webapp.services.task_client import TaskClient, Wait
from webapp.services.worker_requests import Source, WorkerRequests


@dataclass(frozen=True)
class WorkerViews:
    """Views whose requests are answered by workers."""

    settings: Settings
    enrolled: EnrolledPeople
    workers: WorkerRequests
    task_client: TaskClient

    def _waiting(self, collection: str = DEFAULT) -> AbstractContextManager[Wait]:
        return waiting(self.settings, self.task_client, collection)

    @contextmanager
    def _photo(self) -> Iterator[Source]:
        """The only photo of the request, where workers find it; its bytes are let go of."""
        with ExitStack() as uploads:
            with self.task_client.upload_slot():
                data = forms.one_photo(self.settings.max_upload_bytes).data
                source = uploads.enter_context(self.workers.uploaded(data))
                del data
            yield source


@contextmanager
def waiting(
    settings: Settings, task_client: TaskClient, collection: str = DEFAULT
) -> Iterator[Wait]:
    """A place among those who wait for a worker, and how long this request may.

    Raises :class:`Problem` while the process stops, and ``Overloaded``.
    """
    deadline = time.monotonic() + settings.answer_timeout
    if task_client.refuses_work:
        raise stopping()
    with task_client.admission_slot():
        yield Wait(deadline, request.environ["facerec.client_gone"], collection)


def full(task_client: TaskClient) -> Problem | None:
    """Why an upload need not be received."""
    if task_client.refuses_work:
        return stopping()
    if not task_client.has_free_slot:
        return retry_later("overloaded", "too many requests wait")
    return None


def stopping() -> Problem:
    return retry_later("stopping", "this process stops; try again")
