"""Faces followed from frame to frame: who overlaps, and who looks alike where that is in doubt.

A track is one face in one scene. It keeps its few best crops; nothing else of a frame outlives it,
so memory does not grow with the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from facerec_tasks.recognition.detection.detector import Detection
from facerec_tasks.video.face_analyzer import FaceAnalyzer, FaceCrop
from facerec_tasks.video.reader import Frame

BEST = 3
"""Crops kept of a track: what its vote is taken from."""
OVERLAP = 0.4
"""Intersection over union from which on two boxes are one face, without a look at it."""
REACH = 1.5
"""Sides of a face it may have moved between two looks; farther ones are not compared."""
ALIKE = 0.6
"""Ratio of two faces' sizes below which they are not compared."""
PATIENCE = 1.2
"""Seconds a face may be unseen (turned away, hidden) before its track ends."""


@dataclass(eq=False)
class Track:
    """One face followed through one scene. Times are seconds of the video."""

    begin: float
    last: float
    box: tuple[float, float, float, float]
    """Where it was last seen."""
    frames: int
    """Looks that saw it."""
    best: list[FaceCrop] = field(default_factory=list)
    """Best first."""
    end: float = 0.0
    """Set when it ended."""
    until: float = 0.0
    """Until when it is known to have been there: ``last``, or when the next frame was shown."""
    missed: bool = False
    """Whether a frame since ``last`` was looked at and did not show it."""

    def see(self, crop: FaceCrop, box: tuple[float, float, float, float]) -> None:
        self.last, self.until, self.box, self.missed = crop.time, crop.time, box, False
        self.frames += 1
        self.best.append(crop)
        self.best.sort(key=lambda one: (-one.quality, one.time))
        del self.best[BEST:]

    @property
    def score(self) -> float:
        """How sure the detector was of its best crops."""
        return max(crop.face.score for crop in self.best)


class Tracker:
    """Follows all faces of a video, frame by frame."""

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self._analyzer = analyzer
        self._near = analyzer.gallery.embedder.threshold
        self.tracks: list[Track] = []
        self.looked: float | None = None
        """Time of the frame before."""

    def update(self, frame: Frame) -> list[Track]:
        """Sees the next frame; returns the tracks that ended before it, in the order they began."""
        if frame.follows:
            for known in self.tracks:
                known.until = frame.time if known.last == self.looked else known.until
        ended = self.finish(frame.time) if frame.cut else []
        ended += self._lost(frame.time)
        faces = self._analyzer.detect(frame.rgb)
        crops = [FaceCrop.of(frame.rgb, face, frame.time) for face in faces]
        followed = self._followed(faces, crops)
        for face, crop, track in zip(faces, crops, followed, strict=True):
            if track is None:
                track = Track(self._since(frame), frame.time, face.box, 0)
                self.tracks.append(track)
            track.see(crop, face.box)
        for known in self.tracks:
            known.missed = known.last < frame.time
        self.looked = frame.time
        return ended

    def finish(self, at: float) -> list[Track]:
        """Ends all tracks at a cut or at the video's end; returns them."""
        ended, self.tracks = self.tracks, []
        for track in ended:
            seen_to_the_end = track.last == self.looked
            track.end = at if seen_to_the_end else track.until
        return ended

    def _lost(self, now: float) -> list[Track]:
        """Tracks of faces that a look did not see, long ago. Time alone ends none: frames may be
        far apart."""
        ended = [track for track in self.tracks if track.missed and now - track.until > PATIENCE]
        self.tracks = [track for track in self.tracks if track not in ended]
        for track in ended:
            track.end = track.until
        return ended

    def _since(self, frame: Frame) -> float:
        """When a face that is new came: halfway to the look before, if frames lie between."""
        if frame.cut or frame.follows or self.looked is None:
            return frame.time
        return round((self.looked + frame.time) / 2, 3)

    def _followed(
        self, faces: Sequence[Detection], crops: Sequence[FaceCrop]
    ) -> list[Track | None]:
        """For each face the track it goes on with: nearest pairs first, each taken once."""
        pairs = sorted(
            (cost, i, j)
            for i, (face, crop) in enumerate(zip(faces, crops, strict=True))
            for j, track in enumerate(self.tracks)
            if (cost := self._cost(track, face, crop)) is not None
        )
        found: list[Track | None] = [None] * len(faces)
        taken: set[int] = set()
        for _, i, j in pairs:
            if found[i] is None and j not in taken:
                found[i] = self.tracks[j]
                taken.add(j)
        return found

    def _cost(self, track: Track, face: Detection, crop: FaceCrop) -> float | None:
        """0 to 1 for boxes that overlap, 1 to 2 for faces that look alike, none for others."""
        overlap = _overlap(track.box, face.box)
        if overlap >= OVERLAP:
            return 1 - overlap
        if not _within_reach(track.box, face.box):
            return None
        apart = float(
            np.linalg.norm(
                track.best[0].embedded_by(self._analyzer) - crop.embedded_by(self._analyzer)
            )
        )
        return 1 + apart / self._near if apart <= self._near else None


Box = tuple[float, float, float, float]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    common = across * down
    return common / (_area(one) + _area(other) - common)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _within_reach(one: Box, other: Box) -> bool:
    sizes = [max(box[2] - box[0], box[3] - box[1], 1.0) for box in (one, other)]
    if min(sizes) / max(sizes) < ALIKE:
        return False
    across = (one[0] + one[2] - other[0] - other[2]) / 2
    down = (one[1] + one[3] - other[1] - other[3]) / 2
    return bool(np.hypot(across, down) <= REACH * max(sizes))
