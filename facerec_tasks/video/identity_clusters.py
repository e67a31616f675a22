"""The people of a video so far: tracks that ended, gathered by who they are.

A track with a name joins its person. One without joins the person it looks most like in this very
video, where light and hair are the same, unless both are seen at once; else it is somebody new.
Who a track is, its best crops vote on; their mean has a voice of its own.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import Base64Bytes

from facerec_tasks.recognition.detection.detector import MIN_VISIBLE
from facerec_tasks.recognition.embedding.metrics import Embeddings, EncodedEmbedding
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.video.face_analyzer import FaceAnalyzer
from facerec_tasks.video.timeline import PersonInVideo, Span, merged, together
from facerec_tasks.video.tracker import Track

PORTRAIT = 192
"""Side in pixels of a person's picture."""
STRICTER = 0.85
"""Share of the engine's threshold within which a track without a name is somebody of this video."""
AT_ONCE = 0.3
"""Seconds two faces are seen together that make them two people."""
MIN_SCORE, MIN_SCORE_SINGLE_FRAME = 0.9, 0.98
"""Detector scores below which a track is no face; the second for one seen in a single look."""
MOST_UNKNOWN = 500
"""People without a name; bounds memory and the answer."""


@dataclass(frozen=True, eq=False)
class TrackVote:
    """What the vote came to."""

    name: str | None
    """None: nobody known."""
    confidence: float
    """The winner's share of all voices, 0 to 1."""
    embedding: Embeddings
    """[dimension], the mean."""


def vote(gallery: Gallery, embeddings: Embeddings) -> TrackVote:
    """One identity for the crops of a track [crops, dimension], the best first.

    A voice counts by how sure it is; a tie, and a winner with less than half of what was voiced,
    is nobody known.
    """
    mean = embeddings.mean(axis=0)
    matches = gallery.search(np.vstack([embeddings, mean]))
    voices: dict[str | None, float] = {None: 0.0}
    for match in matches:
        weight = 1.0 if match.confidence is None else match.confidence
        voices[match.name] = voices.get(match.name, 0.0) + weight
    total = sum(voices.values())
    name, most = max(voices.items(), key=lambda voice: (voice[1], voice[0] is None))
    if most * 2 <= total:
        name, most = None, voices[None]
    return TrackVote(name, round(most / total, 4) if total else 0.0, mean)


@dataclass(eq=False)
class Identity:
    """One person of the video: the tracks that are theirs."""

    name: str | None
    total: EncodedEmbedding
    """Sum of the means of their tracks."""
    tracks: int = 0
    frames: int = 0
    voices: float = 0.0
    """Confidence of their tracks, each as often as it was seen."""
    spans: tuple[Span, ...] = ()
    quality: float = -1.0
    portrait: Base64Bytes = b""
    """JPEG of the best crop."""

    @property
    def mean(self) -> Embeddings:
        return self.total / np.float32(max(1, self.tracks))

    def join(self, track: Track, voted: TrackVote) -> None:
        self.total = self.total + voted.embedding
        self.tracks += 1
        self.frames += track.frames
        self.voices += voted.confidence * track.frames
        self.spans = merged((*self.spans, (round(track.begin, 3), round(track.end, 3))))
        best = track.best[0]
        # The picture of somebody with a name is one their name was given for.
        if best.quality > self.quality and voted.name == self.name:
            self.quality, self.portrait = best.quality, best.portrait(PORTRAIT)


@dataclass(eq=False)
class IdentityClusters:
    """The people of the video so far."""

    identities: list[Identity] = field(default_factory=list)
    """In the order of their first track's end."""

    def add(self, track: Track, analyzer: FaceAnalyzer) -> None:
        """Takes up a track that has ended."""
        if track.score < (MIN_SCORE if track.frames > 1 else MIN_SCORE_SINGLE_FRAME):
            return
        whole = [crop for crop in track.best if crop.face.visible >= MIN_VISIBLE]
        if not whole:  # cut-off faces of different people look alike
            return
        crops = np.stack([crop.embedded_by(analyzer) for crop in whole])
        voted = vote(analyzer.gallery, crops)
        identity = self._named(voted) or self._alike(track, voted, analyzer)
        if identity is None:
            if voted.name is None and self._unknown() >= MOST_UNKNOWN:
                return
            identity = Identity(voted.name, np.zeros_like(voted.embedding))
            self.identities.append(identity)
        identity.join(track, voted)

    def people(self) -> tuple[tuple[PersonInVideo, bytes], ...]:
        """Everybody with their picture; known people first, then who was seen longest."""
        found = [(_person(identity), identity.portrait) for identity in self.identities]
        found.sort(key=lambda one: (not one[0].known, -one[0].seconds, one[0].spans, one[0].name))
        numbered, strangers = [], 0
        for person, portrait in found:
            if not person.known:
                strangers += 1
                person = replace(person, name=f"unknown-{strangers}")
            numbered.append((person, portrait))
        return tuple(numbered)

    def names(self) -> tuple[str, ...]:
        """Known people, in the order of their coming."""
        return tuple(identity.name for identity in self.identities if identity.name is not None)

    def _unknown(self) -> int:
        return sum(identity.name is None for identity in self.identities)

    def _named(self, voted: TrackVote) -> Identity | None:
        if voted.name is None:
            return None
        return next((m for m in self.identities if m.name == voted.name), None)

    def _alike(self, track: Track, voted: TrackVote, analyzer: FaceAnalyzer) -> Identity | None:
        if voted.name is not None or not self.identities:
            return None
        near = STRICTER * analyzer.gallery.embedder.threshold
        means = np.stack([identity.mean for identity in self.identities])
        distances = np.linalg.norm(means - voted.embedding, axis=1)
        for index in np.argsort(distances, kind="stable").tolist():
            if distances[index] > near:
                return None
            identity: Identity = self.identities[index]
            if together(identity.spans, [(track.begin, track.end)]) < AT_ONCE:
                return identity
        return None


def _person(identity: Identity) -> PersonInVideo:
    return PersonInVideo(
        name=identity.name or "unknown",
        known=identity.name is not None,
        confidence=round(identity.voices / max(1, identity.frames), 4),
        spans=identity.spans,
        frames=identity.frames,
    )
