"""A video looked at frame by frame: streaming, bounded in memory, interruptible, deterministic.

``VideoAnalyzer.state()`` between two frames holds all that is known; another process goes on from
it and comes to the same end.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from facerec_tasks.recognition.gallery.gallery import AmbiguousName, Gallery, NoSuchPerson
from facerec_tasks.video.contact_sheet import contact_sheet
from facerec_tasks.video.face_analyzer import FaceAnalyzer
from facerec_tasks.video.identity_clusters import IdentityClusters
from facerec_tasks.video.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from facerec_tasks.video.reader import Frame, VideoEnd, VideoMetadata, VideoReader
from facerec_tasks.video.sampling import FramePosition
from facerec_tasks.video.timeline import PersonInVideo
from facerec_tasks.video.tracker import Track, Tracker

VERSION = 4
"""Of the state: another one is not gone on from."""


@dataclass(frozen=True)
class _State:
    """All that is known after a frame."""

    version: int
    engine: str
    position: FramePosition | None
    frames_analyzed: int
    tracks: list[Track]
    looked: float | None
    clusters: IdentityClusters


_state = TypeAdapter(_State)


class VideoAnalyzer:
    """One analysis of one video."""

    def __init__(self, analyzer: FaceAnalyzer, state: bytes | None = None) -> None:
        """Goes on from ``state``, unless another version or another engine has made it."""
        self._analyzer = analyzer
        self._tracker = Tracker(analyzer)
        self._clusters = IdentityClusters()
        self.position: FramePosition | None = None
        """The last frame looked at."""
        self.frames_analyzed = 0
        """Frames looked at, of earlier processes too."""
        if state is not None:
            self._resume(state)

    def _resume(self, state: bytes) -> None:
        try:
            found = _state.validate_json(state)
        except ValidationError:
            return
        if (found.version, found.engine) == (VERSION, self._engine):
            self.position, self.frames_analyzed = found.position, found.frames_analyzed
            self._tracker.tracks, self._tracker.looked = found.tracks, found.looked
            self._clusters = found.clusters

    @property
    def _engine(self) -> str:
        return f"{self._analyzer.gallery.engine} {self._analyzer.gallery.precision}"

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
    def time(self) -> float:
        """Seconds of the video that are done."""
        return self.position.time if self.position else 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Known people found so far."""
        return self._clusters.names()

    def state(self) -> bytes:
        """All that is known, as JSON."""
        return _state.dump_json(
            _State(
                VERSION,
                self._engine,
                self.position,
                self.frames_analyzed,
                self._tracker.tracks,
                self._tracker.looked,
                self._clusters,
            )
        )


@dataclass(frozen=True)
class VideoAnalysis:
    """A video looked at to its end."""

    metadata: VideoMetadata
    end: VideoEnd
    frames_analyzed: int
    """Of all runs together."""
    people: tuple[PersonInVideo, ...]
    """Known people first, then who was seen longest."""
    portraits: tuple[bytes, ...]
    """A JPEG of each."""
    sheet: bytes
    """The contact sheet, a JPEG."""


ShouldContinue = Callable[[VideoAnalyzer, VideoMetadata], bool]
"""Whether to go on, asked after every look."""


def analyze_video(
    path: Path,
    analyzer: FaceAnalyzer,
    *,
    state: bytes | None = None,
    should_continue: ShouldContinue | None = None,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
) -> VideoAnalysis | None:
    """Everybody in the video; none when ``should_continue`` said no.

    What an earlier run knew is gone on from, as :class:`VideoAnalyzer` does. Raises ``Rejected``
    and ``DecoderCrashed``.
    """
    analysis = VideoAnalyzer(analyzer, state)
    with VideoReader(path, limits=limits, after=analysis.position) as video:
        for frame in video:
            analysis.add_frame(frame)
            if should_continue and not should_continue(analysis, video.metadata):
                return None
        assert video.end is not None  # it ends no other way
        found = analysis.finish(video.end)
        return VideoAnalysis(
            metadata=video.metadata,
            end=video.end,
            frames_analyzed=analysis.frames_analyzed,
            people=tuple(_identified(person, analyzer.gallery) for person, _ in found),
            portraits=tuple(portrait for _, portrait in found),
            sheet=contact_sheet(found),
        )


def _identified(person: PersonInVideo, gallery: Gallery) -> PersonInVideo:
    """With the id, of somebody known by a name that nobody else bears."""
    if not person.known:
        return person
    try:
        return replace(person, person_id=gallery.ids[gallery.index(person.name)])
    except (NoSuchPerson, AmbiguousName):
        return person
