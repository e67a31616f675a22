"""How many accepted photos this process has not answered yet: the controller's best signal."""

import threading
import time
import uuid

from facerec_tasks.control_schemas import InFlightReport, ProcessReport
from webapp.services.recent_answers import RecentAnswers


class InFlight:
    """Accepted minus answered, exactly. Safe to use from many threads."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._epoch = uuid.uuid4().hex
        self._started_at = time.time()
        self._accepted = 0
        self._open: dict[str, tuple[float, bool]] = {}
        """When each task was accepted, and whether it is a video's."""
        self.recent = RecentAnswers()
        """How long answers took, from acceptance on."""
        self._lock = threading.Lock()

    def accept(self, task_id: str, *, video: bool = False) -> None:
        """SQS has acknowledged the task's message."""
        with self._lock:
            self._accepted += 1
            self._open[task_id] = time.time(), video

    def answer(self, task_id: str) -> None:
        """The task's answer is known. A second time is no harm."""
        now = time.time()
        with self._lock:
            accepted_at, is_video = self._open.pop(task_id, (now, True))
        if not is_video:  # how long photos take is what is promised
            self.recent.add(now, now - accepted_at)

    def holds(self, task_id: str) -> bool:
        """Accepted here and not answered yet."""
        with self._lock:
            return task_id in self._open

    @property
    def outstanding(self) -> int:
        with self._lock:
            return len(self._open)

    def process_report(self) -> ProcessReport:
        """This moment's figures."""
        with self._lock:
            outstanding = len(self._open)
            videos = sum(is_video for _, is_video in self._open.values())
            oldest, _ = next(iter(self._open.values()), (None, False))
            accepted = self._accepted
        return ProcessReport(
            process=self._process,
            epoch=self._epoch,
            started_at=self._started_at,
            accepted=accepted,
            answered=accepted - outstanding,
            outstanding=outstanding,
            videos=videos,
            oldest_accepted_at=oldest,
        )

    def report(self) -> dict[str, object]:
        """The body of ``GET /internal/in-flight``."""
        return InFlightReport((self.process_report(),)).to_dict()
