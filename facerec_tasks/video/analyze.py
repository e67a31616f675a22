"""One run over a video: from the file, and perhaps what an earlier run knew, to its people.

The run can be told to stop between two looks; then what it knows is the next run's beginning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facerec_tasks.video.analysis import Analysis, StateMismatch
from facerec_tasks.video.contact_sheet import sheet
from facerec_tasks.video.face_analyzer import Eyes
from facerec_tasks.video.limits import DEFAULT_CAPS, Caps
from facerec_tasks.video.reader import Ending, Facts, Video
from facerec_tasks.video.rejection import DecoderLost
from facerec_tasks.video.sampling import Place, Sampling
from facerec_tasks.video.timeline import Person


@dataclass(frozen=True)
class Moment:
    """Where a run is, told after every look."""

    time: float
    """Seconds of the video that are done."""
    seconds: float | None
    """The video's length as claimed."""
    names: tuple[str, ...]
    """Known people found so far."""
    looks: int
    state: Callable[[], bytes]
    """All that is known, for another run to go on from."""


@dataclass(frozen=True)
class Watched:
    """A video looked at to its end."""

    facts: Facts
    ending: Ending
    looks: int
    """Of all runs together."""
    people: tuple[Person, ...]
    """Known people first, then who was seen longest."""
    portraits: tuple[bytes, ...]
    """A JPEG of each."""
    sheet: bytes
    """The contact sheet, a JPEG."""
    uncounted: int
    """Sightings of further people without a name."""


Heed = Callable[[Moment], bool]
"""Whether to go on."""


def on(_: Moment) -> bool:
    return True


def watch(
    path: Path,
    eyes: Eyes,
    *,
    state: bytes | None = None,
    heed: Heed = on,
    caps: Caps = DEFAULT_CAPS,
    sampling: Sampling | None = None,
) -> Watched | None:
    """Everybody in the video; none when ``heed`` said no.

    A ``state`` of another engine is left aside. Raises ``Rejected`` and ``DecoderLost``.
    """
    analysis = _begun(eyes, state)
    with Video(path, sampling, caps, after=analysis.place) as video:
        for frame in video:
            analysis.look(frame)
            if not heed(_moment(analysis, frame.place, video.facts)):
                return None
        if video.ending is None:
            raise DecoderLost("the decoder ended without an end")
        found = analysis.finish(video.ending)
        return Watched(
            facts=video.facts,
            ending=video.ending,
            looks=analysis.looks,
            people=tuple(person for person, _ in found),
            portraits=tuple(portrait for _, portrait in found),
            sheet=sheet(found),
            uncounted=analysis.uncounted,
        )


def _begun(eyes: Eyes, state: bytes | None) -> Analysis:
    if state is not None:
        try:
            return Analysis.resumed(eyes, state)
        except StateMismatch:
            pass  # the gallery has got another engine meanwhile
    return Analysis(eyes)


def _moment(analysis: Analysis, place: Place, facts: Facts) -> Moment:
    return Moment(place.time, facts.seconds, analysis.names, analysis.looks, analysis.state)
