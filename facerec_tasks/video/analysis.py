"""A video looked at frame by frame: streaming, bounded in memory, interruptible, deterministic.

::

    analysis = VideoAnalyzer(analyzer)
    with VideoReader(path) as video:
        for frame in video:
            analysis.add_frame(frame)
    people = analysis.finish(video.end)

``analysis.state()`` between two frames holds all that is known; another process goes on from it
with ``VideoReader(path, after=analysis.position)`` and comes to the same end.
"""

import json
from typing import Self

from facerec_tasks.video.face_analyzer import FaceAnalyzer
from facerec_tasks.video.identity_clusters import IdentityClusters
from facerec_tasks.video.reader import Frame, VideoEnd
from facerec_tasks.video.sampling import FramePosition
from facerec_tasks.video.timeline import PersonInVideo
from facerec_tasks.video.tracker import Tracker

VERSION = 3
"""Of the state: another one is not gone on from."""


class StateMismatch(Exception):
    """Raised for a state of another version, of another engine, or of nothing at all."""


class VideoAnalyzer:
    """One analysis of one video."""

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self._analyzer = analyzer
        self._tracker = Tracker(analyzer)
        self._clusters = IdentityClusters()
        self.position: FramePosition | None = None
        """The last frame looked at."""
        self.frames_analyzed = 0
        """Frames looked at, of earlier processes too."""

    def add_frame(self, frame: Frame) -> None:
        """Takes the next frame; their times ascend."""
        for track in self._tracker.update(frame):
            self._clusters.add(track, self._analyzer)
        self.position = frame.position
        self.frames_analyzed += 1

    def finish(self, end: VideoEnd) -> tuple[tuple[PersonInVideo, bytes], ...]:
        """Everybody with a JPEG of them: known people first, then who was seen longest."""
        for track in self._tracker.finish(end.time):
            self._clusters.add(track, self._analyzer)
        return self._clusters.people()

    @property
    def names(self) -> tuple[str, ...]:
        """Known people found so far."""
        return self._clusters.names()

    @property
    def uncounted(self) -> int:
        """Sightings of people without a name beyond the many that are told apart."""
        return self._clusters.uncounted

    def state(self) -> bytes:
        """All that is known, as JSON."""
        return json.dumps(
            {
                "version": VERSION,
                "engine": _engine(self._analyzer),
                "position": [self.position.time, self.position.cut] if self.position else None,
                "frames_analyzed": self.frames_analyzed,
                "tracker": self._tracker.to_dict(),
                "clusters": self._clusters.to_dict(),
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def resumed(cls, analyzer: FaceAnalyzer, state: bytes) -> Self:
        """Goes on from ``state``; raises :class:`StateMismatch`."""
        try:
            fields = json.loads(state)
            if (fields["version"], fields["engine"]) != (VERSION, _engine(analyzer)):
                raise StateMismatch("a state of another version or engine")
            analysis = cls(analyzer)
            analysis.position = FramePosition(*fields["position"]) if fields["position"] else None
            analysis.frames_analyzed = fields["frames_analyzed"]
            analysis._tracker.restore(fields["tracker"])
            analysis._clusters = IdentityClusters.from_dict(fields["clusters"])
        except (ValueError, TypeError, KeyError) as error:
            raise StateMismatch(f"not a state: {error!r}") from error
        return analysis


def _engine(analyzer: FaceAnalyzer) -> str:
    return f"{analyzer.gallery.engine} {analyzer.gallery.precision}"
