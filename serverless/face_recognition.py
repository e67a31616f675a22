"""``face-recognition``: frames of a video in, the person's name in ``<ID>-output``.

Engine, gallery and the way faces are followed from frame to frame are the system's own. An event
told again, or of an upload that a newer one has overtaken, changes nothing. What AWS does not give
now raises: Lambda runs the event again.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from facerec_tasks.engine import Engine
from facerec_tasks.recognition.images import decoding
from facerec_tasks.settings import get_settings
from facerec_tasks.video.analysis import VideoAnalyzer
from facerec_tasks.video.reader import Frame, VideoEnd
from serverless.buckets import VideoBuckets
from serverless.frames import StoredFrame
from serverless.record import Outcome, Record, Records
from serverless.uploads import BadEvent, VideoUpload

READERS = 8
"""Frames fetched at once; fetching is mostly waiting."""

log = logging.getLogger(__name__)


def handler(event: Any, _context: object) -> dict[str, Any]:
    """What ``video-splitting`` sent in, the record of the video out.

    Raises :class:`facerec_tasks.errors.FacerecError` when the event must come again, and
    :class:`BadEvent` for one that the other function cannot have sent.
    """
    upload = VideoUpload.from_dict(event.get("upload") if isinstance(event, dict) else None)
    if not upload.version:
        raise BadEvent("which version of the video?")
    records = Records(get_settings())
    record = records.find(upload.name)
    if record is None or upload.supersedes(record.upload):
        record = records.put(_answered(upload))
    record = records.show(record)
    log.info("%s version %s: %s", upload.key, upload.version, record.text or record.code)
    return record.to_dict()


def _answered(upload: VideoUpload) -> Record:
    buckets = VideoBuckets(get_settings())
    split = buckets.get_split(upload)
    if split.refusal:
        refused = split.refusal
        return Record(
            upload, "refused", code=refused.code, detail=refused.detail, finished_at=time.time()
        )
    analyzer = _engine().current()  # one gallery for the whole video
    analysis = VideoAnalyzer(analyzer)
    for frame in _frames(buckets, split.frames):
        analysis.add_frame(frame)
    seconds = split.seconds or 0.0
    people = [p for p, _ in analysis.finish(VideoEnd(len(split.frames), seconds, split.complete))]
    outcome: Outcome = "no-face"
    if people:
        outcome = "named" if people[0].known else "unknown"
    return Record(
        upload,
        outcome,
        people=tuple(people),
        frames=len(split.frames),
        seconds=split.seconds,
        complete=split.complete,
        engine=analyzer.gallery.engine,
        finished_at=time.time(),
    )


def _frames(buckets: VideoBuckets, stored: Sequence[StoredFrame]) -> Iterator[Frame]:
    """A few at a time, so that memory does not grow with the video."""
    with ThreadPoolExecutor(READERS) as pool:
        for begin in range(0, len(stored), READERS):
            some = stored[begin : begin + READERS]
            pictures = pool.map(buckets.get, [frame.key for frame in some])
            for number, (frame, jpeg) in enumerate(zip(some, pictures, strict=True), start=begin):
                yield Frame(number, frame.time, frame.cut, decoding.decode(jpeg).rgb)


@cache
def _engine() -> Engine:
    """Loaded once for all events of an environment."""
    return Engine(get_settings())
