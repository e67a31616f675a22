"""A task that needs the engine and answers with a value, also for what is wrong with a request.

What is wrong is ``{"code": …, "detail": …}``. Imported by workers only: web processes send these
tasks by name. Each may run twice with one effect.
"""

import functools
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from celery.exceptions import Reject

from facerec_tasks.app import app
from facerec_tasks.errors import AwsError, ConfigurationError, NotFound
from facerec_tasks.logs import request_id
from facerec_tasks.recognition.gallery.edits import NoSuchFace
from facerec_tasks.recognition.gallery.gallery import (
    AmbiguousName,
    EngineMismatch,
    GalleryError,
    NameTaken,
    NoSuchPerson,
)
from facerec_tasks.recognition.rejection import Rejected
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.collections import CollectionExists, NoSuchCollection
from facerec_tasks.storage.people import NothingToUndo
from facerec_tasks.storage.uploads import BY_KEY, Uploads
from facerec_tasks.tasks.worker_context import state, storage

log = logging.getLogger(__name__)

PREFIX = "facerec_tasks.people_tasks."
MAX_INLINE_REPLY = 150_000
"""Bytes of a reply that travels; a longer one is stored beside the uploads. SQS takes 256 KiB."""

Value = dict[str, Any]
PhotoSource = Sequence[Any]
"""``("upload", id, n)``, or ``("photo", key, version)`` of the in-bucket."""


def photo_of(source: PhotoSource) -> bytes:
    """The bytes of a photo; raises :class:`NotFound`."""
    kind, name, which = source
    if kind == "photo":
        return storage().photos.get(name, which)
    return Uploads(state()).get(name, which)


def engine_task(work: Callable[..., Value]) -> Any:
    """Makes a function a task: what AWS refuses is tried again, all else has an answer."""

    @functools.wraps(work)
    def run(self: Any, *arguments: Any) -> Value:
        request_id.set(getattr(self.request, "request_id", None) or self.request.id)
        if (getattr(self.request, "sqs_receive_count", None) or 1) > get_settings().max_starts:
            return {"code": "poison", "detail": "this request ended its worker several times"}
        try:
            return _inline(self.request.id, work(*_whole(arguments)))
        except (NotFound, GalleryError) as error:
            return {"code": _code(error), "detail": str(error)}
        except (AwsError, ConfigurationError) as error:
            raise Reject(str(error), requeue=True) from error
        except Rejected as error:
            return {"code": str(error.code), "detail": error.message}
        except Exception:  # a bug: whoever waits is told, and trying again would not mend it
            log.exception("task failed")
            return {"code": "internal", "detail": "something is wrong on our side"}

    return app.task(bind=True, name=PREFIX + work.__name__)(run)


def _whole(arguments: tuple[Any, ...]) -> Sequence[Any]:
    """The arguments, wherever they are; raises :class:`NotFound`."""
    if arguments[:1] != (BY_KEY,):
        return arguments
    found: list[Any] = json.loads(Uploads(state()).get(arguments[1], 0))
    return found


def _inline(task_id: str, value: Value) -> Value:
    """What travels: the value, or the word that it is stored."""
    if len(json.dumps(value)) <= MAX_INLINE_REPLY:
        return value
    Uploads(state()).put_reply(task_id, value)
    return {"stored": task_id}


_CODES: dict[type[Exception], str] = {
    NotFound: "photo-gone",
    NoSuchCollection: "no-such-collection",
    CollectionExists: "collection-exists",
    NoSuchPerson: "no-such-person",
    NoSuchFace: "no-such-face",
    AmbiguousName: "ambiguous-name",
    EngineMismatch: "engine-mismatch",
    NameTaken: "name-taken",
    NothingToUndo: "nothing-to-undo",
}


def _code(error: Exception) -> str:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), "bad-name")
