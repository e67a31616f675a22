"""``video-splitting``: a video landed in ``<ID>-input``; its frames go to ``<ID>-stage-1``.

What is wrong with a video is handed on as a refusal, so that one function alone writes answers.
Everything else raises: Lambda runs the event again, and in the end puts it into the dead-letter
queue. Whatever was done already is found and not done again.
"""

import io
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import AwsError, FacerecError, NotFound
from facerec_tasks.recognition.rejection import Rejected, RejectionCode
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.video.reader import DecoderCrashed, Frame, VideoReader
from serverless import limits
from serverless.buckets import VideoBuckets
from serverless.frames import FrameRejection, SplitVideo, StoredFrame, frame_key
from serverless.thinning import Thinning
from serverless.uploads import VideoUpload, uploads

FACE_RECOGNITION = "face-recognition"
"""Name of the function that is told."""
QUALITY = 92
"""Of the JPEGs, 1 to 95."""
WRITERS = 8
"""Frames being stored at once; storing is mostly waiting."""

log = logging.getLogger(__name__)


class Unfinished(FacerecError):
    """Raised when the event must come again: AWS or the machine failed, not the video."""


class Context(Protocol):
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: Any, context: Context) -> dict[str, Any]:
    """An event of S3 in, what became of its videos out. Raises :class:`Unfinished`."""
    settings = get_settings()
    seconds = context.get_remaining_time_in_millis() / 1000
    deadline = time.monotonic() + seconds
    splitting = _Splitting(settings, VideoBuckets(settings), deadline, enough=seconds / 2)
    done: list[dict[str, Any]] = []
    failures: list[Exception] = []
    for upload in uploads(event, settings.video_bucket):
        if deadline - time.monotonic() < seconds / 2:
            # Only others of this event took the time: no reason to refuse this one.
            failures.append(Unfinished(f"{upload.key} has to wait for the next run"))
            continue
        try:
            done.append(splitting.run(upload))
        except (AwsError, DecoderCrashed, OSError, Unfinished) as error:
            log.warning("%s must come again: %r", upload.key, error)
            failures.append(error)
    if failures:
        raise Unfinished("; ".join(map(repr, failures))) from failures[0]
    return {"videos": done}


@dataclass(frozen=True)
class _Splitting:
    """One run of the function."""

    settings: Settings
    buckets: VideoBuckets
    deadline: float
    enough: float
    """Seconds that a video must have had before it is too much for one run."""

    def run(self, upload: VideoUpload) -> dict[str, Any]:
        upload = self.buckets.identified(upload)
        try:
            split = self.buckets.get_split(upload)
        except NotFound:
            split = self._split(upload)
            self.buckets.put_split(split)
        self._tell(upload)
        found = split.refusal.code if split.refusal else f"{len(split.frames)} frames"
        log.info("%s version %s: %s", upload.key, upload.version, found)
        return {"key": upload.key, "version": upload.version, "frames": len(split.frames)}

    def _tell(self, upload: VideoUpload) -> None:
        with translated():
            client(self.settings, "lambda").invoke(
                FunctionName=FACE_RECOGNITION,
                InvocationType="Event",
                Payload=json.dumps({"upload": upload.to_dict()}).encode(),
            )

    def _split(self, upload: VideoUpload) -> SplitVideo:
        # One name for all runs: what a killed one left is written over. Lambda gives an
        # environment one event at a time.
        path = Path(tempfile.gettempdir()) / "video"
        path.unlink(missing_ok=True)
        try:
            limits.check_size(upload.size or 0, shutil.disk_usage(path.parent).free)
            try:
                with path.open("wb") as file:
                    self.buckets.fetch(upload, file)
            except NotFound as error:
                return SplitVideo(upload, (), refusal=FrameRejection("video-gone", str(error)))
            return self._decoded(upload, path)
        except Rejected as rejected:
            detail = rejected.message + limits.remedy(rejected.code)
            return SplitVideo(upload, (), refusal=FrameRejection(str(rejected.code), detail))
        finally:
            path.unlink(missing_ok=True)

    def _decoded(self, upload: VideoUpload, path: Path) -> SplitVideo:
        remaining = self.deadline - time.monotonic()
        if remaining < self.enough:
            raise Unfinished(f"fetching {upload.key} left no time to decode it")
        allowed = limits.video_limits(remaining)
        with VideoReader(path, limits=allowed) as video, _Store(self.buckets, upload) as store:
            for frame in self._in_time(video):
                store.put(frame)
            end = video.end
        assert end is not None
        return SplitVideo(upload, store.frames, seconds=end.time, complete=end.complete)

    def _in_time(self, video: VideoReader) -> Iterator[Frame]:
        thinning = Thinning(video.metadata.seconds)
        for frame in video:
            if time.monotonic() > self.deadline - limits.RESERVE:
                raise Rejected(RejectionCode.TOO_COSTLY, "The video takes too long to decode.")
            if thinning.keeps(frame.time, frame.cut):
                yield frame


class _Store:
    """Frames on their way to stage 1, a few at a time. Leaving it raises what storing raised."""

    def __init__(self, buckets: VideoBuckets, upload: VideoUpload) -> None:
        self._buckets = buckets
        self._upload = upload
        self._frames: list[StoredFrame] = []
        self._pool = ThreadPoolExecutor(WRITERS)
        self._pending: set[Future[None]] = set()

    def __enter__(self) -> "_Store":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for storing in self._pending:
                storing.result()

    @property
    def frames(self) -> tuple[StoredFrame, ...]:
        return tuple(self._frames)

    def put(self, frame: Frame) -> None:
        """Begins to store it; raises what storing an earlier one raised."""
        if len(self._pending) >= WRITERS:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for storing in done:
                storing.result()
        jpeg = io.BytesIO()
        Image.fromarray(frame.rgb).save(jpeg, "JPEG", quality=QUALITY)
        key = frame_key(self._upload, len(self._frames))
        self._frames.append(StoredFrame(key, frame.time, frame.cut))
        self._pending.add(self._pool.submit(self._buckets.put, key, jpeg.getvalue(), "image/jpeg"))
