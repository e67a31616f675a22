"""A video as a chain of short runs, each with a message of its own.

A run looks at the video for half a minute, writes down what it knows, sends the task again and
ends. So a video of hours holds a process no longer than any other task: photos that wait are next,
a machine that is to stop waits for seconds, the time limit and SQS's bound of 12 hours are far
away, and a crash costs the seconds since the last checkpoint. Each message is received once, so
moving on is no start of a task that may be poison.

A cancel is a record like any other answer: whoever writes it first decides, and a run that finds
it ends.
"""

import logging
import time
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from facerec_tasks.aws import translated
from facerec_tasks.errors import AwsError, NotFound, PreconditionFailed, Unavailable
from facerec_tasks.recognition.rejection import Rejected
from facerec_tasks.schemas import Answer, Outcome, VideoInfo
from facerec_tasks.settings import get_settings
from facerec_tasks.shutdown import stopping
from facerec_tasks.storage.video_cache import VideoCache
from facerec_tasks.storage.videos import VideoStore
from facerec_tasks.tasks.idempotent import IdempotentTask
from facerec_tasks.tasks.worker_context import attempts, engine, results, storage
from facerec_tasks.video.timeline import PersonInVideo

if TYPE_CHECKING:
    from facerec_tasks.video.analysis import VideoAnalysis, VideoAnalyzer
    from facerec_tasks.video.reader import VideoMetadata

log = logging.getLogger(__name__)

CHECKPOINT = 5.0
"""Seconds between two checkpoints: what a crash costs at most."""
PROGRESS = 2.0
"""Seconds between two reports of progress, and between two looks for a cancel."""
DOWNLOADS = 3.0
"""A run lasts at least this many times as long as its download took."""


class VideoTask(IdempotentTask):
    """One run over a video."""

    def run(self) -> Answer:
        """The answer on record; raises :class:`celery.exceptions.Ignore` when another run goes
        on."""
        earlier = results().get(self._id)  # also of a cancel, so not only of a second delivery
        answer = self._show(earlier or self._record(self._work()))
        self._tidy()
        return answer

    def _work(self) -> Answer:
        analyze = engine().analyze_video
        if self._again:
            self._count_start()
        begin = time.monotonic()
        try:
            path = self._files().fetch(self._id, self.key, self._version)
            earlier = self._folder().state()
            run = _Run(self._task, self._folder(), earlier.etag if earlier else None, begin)
            watched = analyze(path, earlier.data if earlier else None, run.should_continue)
        except NotFound as error:
            return self._answer(outcome="rejected", code="photo-gone", detail=str(error))
        except Rejected as error:
            return self._answer(outcome="rejected", code=str(error.code), detail=error.message)
        if watched is not None:
            return self._answer(**self._fields(watched, run))
        if run.cancelled is not None:
            return run.cancelled
        if run.overtaken:
            log.info("%s is looked at by another run", self.key)
            raise Ignore
        raise self._continue_in_new_run()

    def _continue_in_new_run(self) -> Ignore:
        """Another run is on its way; this message has done its work."""
        if self._again:
            attempts().clear(self._id)
            self._started = False
        arguments = (self.key, self._version)
        signature = self._task.signature_from_request(self._task.request, arguments, {})
        try:
            with translated():
                signature.apply_async()
        except OperationalError as error:
            raise Unavailable(f"the task cannot be sent on: {error}") from error
        log.info("%s goes on in another run", self.key)
        return Ignore()

    def _fields(self, watched: "VideoAnalysis", run: "_Run") -> dict[str, Any]:
        """What the answer says; its pictures are stored before it."""
        folder = self._folder()
        people = folder.put_pictures(watched.people, watched.portraits, watched.sheet)
        metadata, end = watched.metadata, watched.end
        return {
            **_outcome(people),
            "people": people,
            "width": metadata.width,
            "height": metadata.height,
            "video": VideoInfo(
                container=metadata.container,
                codec=metadata.codec,
                seconds=round(end.time, 3),
                frame_rate=metadata.frame_rate,
                frames_analyzed=watched.frames_analyzed,
                complete=end.complete,
                sheet=folder.sheet,
            ),
            "seconds": round(run.seconds, 3),
        }

    def _bury(self, history: list[dict[str, Any]]) -> NoReturn:
        self._tidy()
        super()._bury(history)

    def _tidy(self) -> None:
        """What only runs need goes; a machine that cannot reach S3 now leaves it to a purge."""
        self._files().forget(self._id)
        try:
            self._folder().clear()
        except AwsError as error:
            log.warning("remains of %s stay: %s", self._id, error)

    def _folder(self) -> VideoStore:
        return VideoStore(storage().state, self._id)

    def _files(self) -> VideoCache:
        settings = get_settings()
        return VideoCache(storage().photos, settings.state_dir / "videos", settings.max_video_bytes)


class _Run:
    """What is decided after every look, by the clock: go on, tell how far it is, or stop."""

    def __init__(self, task: Any, folder: VideoStore, checkpoint: str | None, begin: float) -> None:
        """``checkpoint``: ETag of the one it goes on from. ``begin``: when the download began."""
        self._task, self._folder, self._etag = task, folder, checkpoint
        self._begun = time.monotonic()
        slice_ = max(get_settings().video_slice, DOWNLOADS * (self._begun - begin))
        self._end = self._begun + min(slice_, get_settings().video_time_limit / 2)
        self._checkpoint = self._begun + CHECKPOINT
        self._progress = self._begun
        self.cancelled: Answer | None = None
        self.overtaken = False
        """Whether another run is looking at the same video."""

    @property
    def seconds(self) -> float:
        """Of this run."""
        return time.monotonic() - self._begun

    def should_continue(self, analysis: "VideoAnalyzer", metadata: "VideoMetadata") -> bool:
        """Whether to go on."""
        now = time.monotonic()
        if now >= self._progress:
            self._progress = now + PROGRESS
            self.cancelled = results().get(self._task.request.id)
            if self.cancelled is not None:
                return False
            self._tell(analysis, metadata)
        over = now >= self._end or stopping()
        if over or now >= self._checkpoint:
            try:
                self._etag = self._folder.put_state(analysis.state(), self._etag)
            except PreconditionFailed:
                self.overtaken = True
                return False
            self._checkpoint = time.monotonic() + CHECKPOINT
        return not over

    def _tell(self, analysis: "VideoAnalyzer", metadata: "VideoMetadata") -> None:
        claimed = metadata.seconds
        told = {
            "percent": min(99, int(100 * analysis.time / claimed)) if claimed else None,
            "time": analysis.time,
            "people": list(analysis.names),
            "frames_analyzed": analysis.frames_analyzed,
            "at": time.time(),
        }
        self._folder.put_progress(told)
        try:
            self._task.send_event("task-progress", **told)
        except Exception as error:  # noqa: BLE001 - nobody may be listening, and kombu raises anything
            log.warning("progress not announced: %r", error)


def _outcome(people: tuple[PersonInVideo, ...]) -> dict[str, Any]:
    """Who is seen longest of those who are known, as the one line of text says it."""
    outcome: Outcome = "no-face"
    name = None
    if people:
        name = people[0].name if people[0].known else None
        outcome = "named" if name else "unknown"
    return {"outcome": outcome, "name": name}
