"""One run over a video: from the file, and perhaps what an earlier run knew, to its people.

The run can be told to stop between two looks; then what it knows is the next run's beginning.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from facerec_tasks.recognition.gallery.gallery import AmbiguousName, Gallery, NoSuchPerson
from facerec_tasks.video.analysis import StateMismatch, VideoAnalyzer
from facerec_tasks.video.contact_sheet import contact_sheet
from facerec_tasks.video.errors import DecoderCrashed
from facerec_tasks.video.face_analyzer import FaceAnalyzer
from facerec_tasks.video.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from facerec_tasks.video.reader import VideoEnd, VideoMetadata, VideoReader
from facerec_tasks.video.sampling import FramePosition, Sampling
from facerec_tasks.video.timeline import PersonInVideo


@dataclass(frozen=True)
class AnalysisProgress:
    """Where a run is, told after every look."""

    time: float
    """Seconds of the video that are done."""
    seconds: float | None
    """The video's length as claimed."""
    names: tuple[str, ...]
    """Known people found so far."""
    frames_analyzed: int
    state: Callable[[], bytes]
    """All that is known, for another run to go on from."""


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
    uncounted: int
    """Sightings of further people without a name."""


ShouldContinue = Callable[[AnalysisProgress], bool]
"""Whether to go on."""


def on(_: AnalysisProgress) -> bool:
    return True


def analyze_video(
    path: Path,
    analyzer: FaceAnalyzer,
    *,
    state: bytes | None = None,
    should_continue: ShouldContinue = on,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    sampling: Sampling | None = None,
) -> VideoAnalysis | None:
    """Everybody in the video; none when ``should_continue`` said no.

    A ``state`` of another engine is left aside. Raises ``Rejected`` and ``DecoderCrashed``.
    """
    analysis = _begun(analyzer, state)
    with VideoReader(path, sampling, limits, after=analysis.position) as video:
        for frame in video:
            analysis.add_frame(frame)
            if not should_continue(_progress(analysis, frame.position, video.metadata)):
                return None
        if video.end is None:
            raise DecoderCrashed("the decoder ended without an end")
        found = analysis.finish(video.end)
        return VideoAnalysis(
            metadata=video.metadata,
            end=video.end,
            frames_analyzed=analysis.frames_analyzed,
            people=tuple(_identified(person, analyzer.gallery) for person, _ in found),
            portraits=tuple(portrait for _, portrait in found),
            sheet=contact_sheet(found),
            uncounted=analysis.uncounted,
        )


def _identified(person: PersonInVideo, gallery: Gallery) -> PersonInVideo:
    """With the id, of somebody known by a name that nobody else bears."""
    if not person.known:
        return person
    try:
        return replace(person, person_id=gallery.ids[gallery.index(person.name)])
    except (NoSuchPerson, AmbiguousName):
        return person


def _begun(analyzer: FaceAnalyzer, state: bytes | None) -> VideoAnalyzer:
    if state is not None:
        try:
            return VideoAnalyzer.resumed(analyzer, state)
        except StateMismatch:
            pass  # the gallery has got another engine meanwhile
    return VideoAnalyzer(analyzer)


def _progress(
    analysis: VideoAnalyzer, position: FramePosition, metadata: VideoMetadata
) -> AnalysisProgress:
    return AnalysisProgress(
        position.time, metadata.seconds, analysis.names, analysis.frames_analyzed, analysis.state
    )
