"""A worker process: ``celery -A facerec_tasks.worker worker``.

The parent loads the engine once; its prefork children share the pages. One thread a child:
concurrency is the number of children.
"""

import logging
import threading
import time
from typing import Any

from celery.signals import worker_init
from celery.worker.control import control_command

from facerec_tasks import people_tasks
from facerec_tasks.app import app
from facerec_tasks.errors import AwsError, ConfigurationError
from facerec_tasks.gallery_source import GallerySource
from facerec_tasks.messages import Face, Outcome
from facerec_tasks.recognition.gallery import Gallery, GalleryError
from facerec_tasks.recognition.image import Rejected
from facerec_tasks.recognition.recognizer import Recognition, RecognizedFace, Recognizer
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage import Storage
from facerec_tasks.tasks import use_engine

__all__ = ["Engine", "app"]

log = logging.getLogger(__name__)

START_ATTEMPTS = 10
START_PAUSE = 3.0
"""Seconds between two attempts to read the gallery at the start of a worker."""


class Engine:
    """Photo bytes in, fields of an :class:`~facerec_tasks.messages.Answer` out."""

    def __init__(self, settings: Settings) -> None:
        """Raises :class:`AwsError`, :class:`GalleryError` or :class:`ModelMissing`."""
        self._settings = settings
        self.source = GallerySource(Storage(settings), settings.state_dir / "gallery")
        self._recognizer = self._load(self.source.current())

    def __call__(self, photo: bytes) -> dict[str, Any]:
        recognizer = self.current()
        begin = time.perf_counter()
        try:
            fields = _fields(recognizer.recognize(photo))
        except Rejected as rejected:
            fields = {
                "outcome": "rejected",
                "code": str(rejected.code),
                "detail": rejected.message,
            }
        return {**fields, "seconds": round(time.perf_counter() - begin, 4)}

    def current(self) -> Recognizer:
        """The recognizer with the newest gallery.

        Raises :class:`ConfigurationError` when that asks for an engine this machine has not got:
        the photo is not to blame, and another machine may have it.
        """
        try:
            return self._newest()
        except (GalleryError, ModelMissing) as error:
            raise ConfigurationError(f"the gallery cannot be used here: {error}") from error

    def _newest(self) -> Recognizer:
        gallery = self.source.current()
        if gallery is not self._recognizer.gallery:
            same_engine = gallery.engine == self._recognizer.gallery.engine
            self._recognizer = (
                self._recognizer.with_gallery(gallery) if same_engine else self._load(gallery)
            )
        return self._recognizer

    def _load(self, gallery: Gallery) -> Recognizer:
        return Recognizer.load(self._settings.models_dir, gallery)


_loaded: Engine | None = None


@worker_init.connect
def _load_engine(**_: Any) -> None:
    """In the parent, before it forks; without an engine there is no worker."""
    global _loaded
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            _loaded = Engine(get_settings())
        except AwsError as error:
            log.warning("gallery not to be had (attempt %d): %s", attempt, error)
            time.sleep(START_PAUSE)
        except (GalleryError, ModelMissing) as error:
            raise SystemExit(f"no engine: {error}") from error
        else:
            use_engine(_loaded)
            people_tasks.use_engine(_loaded)
            return
    raise SystemExit("no engine: the gallery cannot be read")


@control_command()
def refresh_gallery(state: Any) -> dict[str, str]:
    """``celery control refresh_gallery``: the gallery has changed; look now, not in a minute."""
    threading.Thread(target=_refresh, name="gallery-refresh", daemon=True).start()
    return {"ok": "looking"}


def _refresh() -> None:
    assert _loaded is not None
    try:
        _loaded.source.refresh()
    except (AwsError, GalleryError) as error:
        log.warning("keeping the gallery as it is: %s", error)


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
    )
