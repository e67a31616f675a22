"""Photo bytes in, fields of an answer out: the recognizer with the newest gallery of the bucket.

Nothing here is Celery's: a worker and a Lambda function see with the same eyes.
"""

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.recognition.embedding.metrics import encoded
from facerec_tasks.recognition.gallery import matching
from facerec_tasks.recognition.gallery.enrollment import poor
from facerec_tasks.recognition.gallery.gallery import Gallery, GalleryError
from facerec_tasks.recognition.recognizer import (
    DetectedFaces,
    Recognition,
    RecognizedFace,
    Recognizer,
)
from facerec_tasks.recognition.rejection import Rejected
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.schemas import MOST_CANDIDATES, UNKNOWN_KIND, Candidate, Face, Hint, Outcome
from facerec_tasks.settings import Settings
from facerec_tasks.storage.collections import DEFAULT, NoSuchCollection
from facerec_tasks.storage.gallery_cache import COLLECTIONS, GallerySource
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.state_bucket import StateBucket
from facerec_tasks.video.analysis import ShouldContinue, VideoAnalysis, analyze_video
from facerec_tasks.video.limits import VideoLimits

UNSURE = (0.3, 0.95)
"""Confidence in the nearest person between which another photo of that person is asked for."""
GROUPED_SCORE = 0.95
"""Least score of an unknown face that is grouped: false faces make no people."""
MOST_COLLECTIONS = 32
"""Galleries a worker process keeps mapped; one more lets go of the oldest."""


class Engine:
    """Photo bytes in, fields of an :class:`~facerec_tasks.schemas.Answer` out."""

    def __init__(self, settings: Settings) -> None:
        """Raises :class:`AwsError`, :class:`GalleryError` or :class:`ModelMissing`."""
        self._state = state = StateBucket(settings)
        self._model_files = ModelFiles(state, settings)
        self._keeps_unknown = settings.group_unknown_faces
        self._video_limits = VideoLimits(
            max_bytes=settings.max_video_bytes, max_seconds=60 * settings.max_video_minutes
        )
        self._folder = settings.state_dir / "gallery"
        self._sources: dict[str, GallerySource] = {}
        self._loaded = self._model_files.recognizer(self.source_of(DEFAULT).current())
        self._recognizers = {DEFAULT: self._loaded}

    def __call__(self, photo: bytes) -> dict[str, Any]:
        recognizer = self.current()
        begin = time.perf_counter()
        try:
            seen = recognizer.detect_and_embed(photo)
            fields = _fields(recognizer.identify(seen, MOST_CANDIDATES))
            if self._keeps_unknown:
                fields["faces"] = _with_embeddings(seen, fields["faces"])
        except Rejected as rejected:
            fields = {
                "outcome": "rejected",
                "code": str(rejected.code),
                "detail": rejected.message,
            }
        return {**fields, "seconds": round(time.perf_counter() - begin, 4)}

    def analyze_video(
        self, path: Path, state: bytes | None, should_continue: ShouldContinue
    ) -> VideoAnalysis | None:
        """See :func:`.analysis.analyze_video`; with the newest default gallery."""
        return analyze_video(
            path,
            self.current(),
            state=state,
            should_continue=should_continue,
            limits=self._video_limits,
        )

    def source_of(self, collection: str) -> GallerySource:
        """Where the gallery of a collection comes from.

        Raises :class:`~facerec_tasks.storage.collections.NoSuchCollection` for what is no name of
        one; whether there is such a collection shows when its gallery is asked for.
        """
        source = self._sources.get(collection)
        if source is None:
            source = GallerySource(self._state, self._folder, collection=collection)
            self._sources[collection] = source
            self._forget_oldest()
        return source

    def current(self, collection: str = DEFAULT) -> Recognizer:
        """The recognizer with the newest gallery of a collection.

        Raises :class:`ConfigurationError` when that asks for an engine this machine has not got,
        and :class:`AwsError` when its network cannot be fetched now: the photo is not to blame, and
        another machine may have it. Raises ``NoSuchCollection``.
        """
        try:
            gallery = self.source_of(collection).current()
            recognizer = self._recognizers.get(collection)
            if recognizer is None or gallery is not recognizer.gallery:
                recognizer = self._recognizers[collection] = self._with(gallery)
            return recognizer
        except NoSuchCollection:
            raise
        except (GalleryError, ModelMissing) as error:
            raise ConfigurationError(f"the gallery cannot be used here: {error}") from error

    def refresh(self) -> None:
        """Looks at every gallery this machine has a copy of, those of other processes included.

        Raises :class:`AwsError` and :class:`GalleryError`.
        """
        self.source_of(DEFAULT).refresh()
        for folder in (self._folder / COLLECTIONS).glob("*"):
            with contextlib.suppress(NoSuchCollection):  # it is deleted, and so is the copy now
                self.source_of(folder.name).refresh()

    def _forget_oldest(self) -> None:
        """The default collection came first and stays."""
        while len(self._sources) > MOST_COLLECTIONS:
            _, oldest, *_ = self._sources
            self._sources.pop(oldest)
            self._recognizers.pop(oldest, None)

    def _with(self, gallery: Gallery) -> Recognizer:
        """Networks loaded before the fork are shared; those loaded later belong to one child."""
        for recognizer in (*self._recognizers.values(), self._loaded):
            if recognizer.fits(gallery):
                return recognizer.with_gallery(gallery)
        return self._model_files.recognizer(gallery, self._loaded.detector)


def _fields(seen: Recognition) -> dict[str, Any]:
    outcome: Outcome = "no-face"
    name = None
    if seen.faces:
        name = seen.faces[0].name
        outcome = "named" if name else "unknown"
    return {
        "outcome": outcome,
        "name": name,
        "faces": tuple(_face(face) for face in seen.faces),
        "left_out": seen.left_out or None,
        "frame": seen.frame or None,
        "width": seen.width,
        "height": seen.height,
        "engine": seen.engine,
    }


def _face(face: RecognizedFace) -> Face:
    return Face(
        name=face.name or "unknown",
        box=face.box,
        landmarks=face.landmarks,
        score=face.score,
        distance=face.distance,
        confidence=face.confidence,
        runner_up=face.runner_up,
        runner_up_distance=face.runner_up_distance,
        candidates=tuple(_candidate(candidate) for candidate in face.candidates),
        hint=_hint(face),
        person_id=face.person_id,
        visible=face.visible if face.visible < 1 else None,
        reason=face.reason,
    )


def _with_embeddings(seen: DetectedFaces, faces: tuple[Face, ...]) -> tuple[Face, ...]:
    """What unknown faces are grouped by; none of a face that may be no face."""
    return tuple(
        replace(face, embedding=encoded(seen.embeddings[nth], UNKNOWN_KIND))
        if face.name == "unknown" and face.score >= GROUPED_SCORE and poor(seen, nth) is None
        else face
        for nth, face in enumerate(faces)
    )


def _candidate(found: matching.NearestPerson) -> Candidate:
    return Candidate(
        name=found.name,
        person_id=found.person_id,
        distance=round(found.distance, 4),
        similarity=round(found.similarity, 1),
        confidence=round(found.confidence, 4),
    )


def _hint(face: RecognizedFace) -> Hint | None:
    """Asks for a second photo where it would decide: not of strangers, nor of who is clear."""
    if not face.candidates or face.candidates[0].photos > 1:
        return None
    unsure = UNSURE[0] <= face.candidates[0].confidence < UNSURE[1]
    return "second-photo" if unsure else None
