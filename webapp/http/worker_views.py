"""What the views have in common whose requests are answered by workers."""

from typing import Generic, TypeVar

from facerec_tasks.settings import Settings
from webapp.services.recognition import RecognitionService
from webapp.services.task_client import TaskClient

Service = TypeVar("Service")


class WorkerViews(Generic[Service]):
    """Views of a service, which take their places in line as those of photos do."""

    def __init__(
        self,
        settings: Settings,
        service: Service,
        recognition: RecognitionService,
        task_client: TaskClient,
    ) -> None:
        self._settings = settings
        self._service = service
        self._recognition = recognition
        self._task_client = task_client
