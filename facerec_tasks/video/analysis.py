"""A video looked at frame by frame: streaming, bounded in memory, interruptible, deterministic.

::

    analysis = Analysis(eyes)
    with Video(path) as video:
        for frame in video:
            analysis.look(frame)
    people = analysis.finish(video.ending)

``analysis.state()`` between two frames holds all that is known; another process goes on from it
with ``Video(path, after=analysis.place)`` and comes to the same end.
"""

import json
from typing import Self

from facerec_tasks.video.face_analyzer import Eyes
from facerec_tasks.video.identity_clusters import Cast
from facerec_tasks.video.reader import Ending, Frame
from facerec_tasks.video.sampling import Place
from facerec_tasks.video.timeline import Person
from facerec_tasks.video.tracker import Tracker

VERSION = 1
"""Of the state: another one is not gone on from."""


class StateMismatch(Exception):
    """Raised for a state of another version, of another engine, or of nothing at all."""


class Analysis:
    """One analysis of one video."""

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes
        self._tracker = Tracker(eyes)
        self._cast = Cast()
        self.place: Place | None = None
        """The last frame looked at."""
        self.looks = 0
        """Frames looked at, of earlier processes too."""

    def look(self, frame: Frame) -> None:
        """Takes the next frame; their times ascend."""
        for track in self._tracker.look(frame):
            self._cast.add(track, self._eyes)
        self.place = frame.place
        self.looks += 1

    def finish(self, ending: Ending) -> tuple[tuple[Person, bytes], ...]:
        """Everybody with a JPEG of them: known people first, then who was seen longest."""
        for track in self._tracker.finish(ending.time):
            self._cast.add(track, self._eyes)
        return self._cast.people()

    @property
    def names(self) -> tuple[str, ...]:
        """Known people found so far."""
        return self._cast.names()

    @property
    def uncounted(self) -> int:
        """Sightings of people without a name beyond the many that are told apart."""
        return self._cast.uncounted

    def state(self) -> bytes:
        """All that is known, as JSON."""
        return json.dumps(
            {
                "version": VERSION,
                "engine": _engine(self._eyes),
                "place": [self.place.time, self.place.cut] if self.place else None,
                "looks": self.looks,
                "tracker": self._tracker.to_dict(),
                "cast": self._cast.to_dict(),
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def resumed(cls, eyes: Eyes, state: bytes) -> Self:
        """Goes on from ``state``; raises :class:`StateMismatch`."""
        try:
            fields = json.loads(state)
            if (fields["version"], fields["engine"]) != (VERSION, _engine(eyes)):
                raise StateMismatch("a state of another version or engine")
            analysis = cls(eyes)
            analysis.place = Place(*fields["place"]) if fields["place"] else None
            analysis.looks = fields["looks"]
            analysis._tracker.restore(fields["tracker"])
            analysis._cast = Cast.from_dict(fields["cast"])
        except (ValueError, TypeError, KeyError) as error:
            raise StateMismatch(f"not a state: {error!r}") from error
        return analysis


def _engine(eyes: Eyes) -> str:
    return f"{eyes.gallery.engine} {eyes.gallery.precision}"
