"""Tasks about people: enrol, forget, rename, verify. Imported by workers: they need the engine.

The web tier sends them by name. Their photos lie in the state bucket under ``uploads/<id>/<n>`` and
are removed by whoever put them there. Each may run twice with one effect. What is wrong with a
request is a value, ``{"code": …, "detail": …}``.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

from celery.exceptions import Reject

from facerec_tasks.app import app
from facerec_tasks.errors import AwsError, ConfigurationError, NotFound
from facerec_tasks.logs import request_id
from facerec_tasks.recognition.gallery.enrolment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import (
    EngineMismatch,
    GalleryError,
    NameTaken,
    NoSuchPerson,
)
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.recognition.rejection import Rejected
from facerec_tasks.settings import get_settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.gallery_cache import GallerySource
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket

log = logging.getLogger(__name__)

Value = dict[str, Any]


class LoadedEngine(Protocol):
    """What a worker has loaded."""

    source: GallerySource

    def current(self) -> Recognizer:
        """The recognizer with the newest gallery."""
        ...


_engine: LoadedEngine | None = None


def set_engine(engine: LoadedEngine) -> None:
    """Called once in the parent, inherited by the children."""
    global _engine
    _engine = engine


def _answering(work: Callable[..., Value]) -> Callable[..., Value]:
    """Runs the work of a task: what AWS refuses is tried again, all else has an answer."""

    @functools.wraps(work)
    def run(self: Any, *arguments: Any) -> Value:
        request_id.set(getattr(self.request, "request_id", None) or self.request.id)
        if (getattr(self.request, "sqs_receive_count", None) or 1) > get_settings().max_starts:
            return {"code": "poison", "detail": "this request ended its worker several times"}
        try:
            return work(*arguments)
        except (NotFound, GalleryError) as error:
            return {"code": _code(error), "detail": str(error)}
        except (AwsError, ConfigurationError) as error:
            raise Reject(str(error), requeue=True) from error
        except Rejected as error:
            return {"code": str(error.code), "detail": error.message}
        except Exception:  # a bug: whoever waits is told, and trying again would not mend it
            log.exception("task failed")
            return {"code": "internal", "detail": "something is wrong on our side"}

    return run


_CODES: dict[type[Exception], str] = {
    NotFound: "photo-gone",
    NoSuchPerson: "no-such-person",
    EngineMismatch: "engine-mismatch",
    NameTaken: "name-taken",
}


def _code(error: Exception) -> str:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), "bad-name")


@app.task(bind=True, name="facerec_tasks.people_tasks.enrol")
@_answering
def enrol(name: str, upload: str, count: int, strict: bool) -> Value:
    """Enrols ``count`` photos; returns how many are new and why others were not taken."""
    people = People(_state())
    _loaded().source.refresh()  # its precision may have changed: embeddings of two do not mix
    batch = Batch(Enroller(_loaded().current()), people.gallery(), strict=strict)
    photos = [_photo(upload, n) for n in range(count)]
    verdicts = [batch.add(name, photo) for photo in photos]
    refused = [
        {"index": n, "reason": str(verdict.reason), "message": verdict.message}
        for n, verdict in enumerate(verdicts)
        if verdict
    ]
    if not batch.samples:
        return {"code": "no-photo-taken", "detail": "no photo was taken", "refused": refused}
    before = set(people.gallery().photos)
    now = people.add(batch.samples)
    _loaded().source.refresh()
    (known,) = batch.samples
    return {
        "name": known,
        "photos": len(now.photos_of(known)),
        "enrolled": len(set(now.photos) - before),
        **({"hint": "second-photo"} if len(now.photos_of(known)) == 1 else {}),
        "refused": refused,
    }


@app.task(bind=True, name="facerec_tasks.people_tasks.forget")
@_answering
def forget(name: str) -> Value:
    """Forgets a person: embeddings, photos and every old version of both."""
    People(_state()).remove(name)
    _loaded().source.refresh()
    return {"name": name}


@app.task(bind=True, name="facerec_tasks.people_tasks.rename")
@_answering
def rename(name: str, new: str) -> Value:
    """Gives a person another name."""
    People(_state()).rename(name, new)
    _loaded().source.refresh()
    return {"name": new}


@app.task(bind=True, name="facerec_tasks.people_tasks.verify")
@_answering
def verify(name: str, upload: str) -> Value:
    """Whether the largest face of a photo is that person's, by the threshold for one person."""
    recognizer = _loaded().current()
    gallery = recognizer.gallery
    if name not in gallery.names:
        raise NoSuchPerson(f"nobody is called {name!r}")
    seen = recognizer.detect_and_embed(_photo(upload, 0))
    if not seen.detections:
        return {"name": name, "outcome": "no-face"}
    distance = gallery.distance(name, seen.embeddings[0])
    threshold = None if gallery.threshold is None else gallery.verification_threshold
    return {
        "name": name,
        "outcome": "same" if threshold is None or distance <= threshold else "different",
        "distance": round(distance, 4),
        "threshold": threshold,
    }


def _photo(upload: str, number: int) -> bytes:
    stored = _state().get(layout.upload(upload, number))
    assert stored is not None  # no condition was given
    return stored.data


def _loaded() -> LoadedEngine:
    if _engine is None:
        raise ConfigurationError("this worker has no engine: start facerec_tasks.worker")
    return _engine


@functools.cache
def _state() -> StateBucket:
    return StateBucket(get_settings())
