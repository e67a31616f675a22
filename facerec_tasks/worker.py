"""A worker process: ``celery -A facerec_tasks.worker worker``.

The parent loads the engine once; its prefork children share the pages. One thread a child:
concurrency is the number of children.
"""

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from celery.signals import worker_init
from celery.worker.control import control_command

from facerec_tasks.app import app
from facerec_tasks.engine import Engine
from facerec_tasks.errors import AwsError
from facerec_tasks.heartbeat_file import EVERY, HeartbeatFile
from facerec_tasks.recognition.gallery.gallery import GalleryError
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import get_settings
from facerec_tasks.tasks import faces, people, unknown
from facerec_tasks.tasks.worker_context import engine, set_engine

__all__ = ["app", "faces", "people", "unknown"]

log = logging.getLogger(__name__)

START_ATTEMPTS = 10
START_PAUSE = 3.0
"""Seconds between two attempts to read the gallery at the start of a worker."""


@worker_init.connect
def _load_engine(**_: Any) -> None:
    """In the parent, before it forks; without an engine there is no worker."""
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            set_engine(Engine(get_settings()))
        except AwsError as error:
            log.warning("gallery not to be had (attempt %d): %s", attempt, error)
            time.sleep(START_PAUSE)
        except (GalleryError, ModelMissing) as error:
            raise SystemExit(f"no engine: {error}") from error
        else:
            return
    raise SystemExit("no engine: the gallery cannot be read")


class HeartbeatFileStep(bootsteps.StartStopStep):
    """Shows that the worker's event loop turns."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        self._heartbeat = HeartbeatFile(get_settings().state_dir, "worker")
        self._timer: Any = None

    def start(self, c: Any) -> None:
        self._heartbeat.touch()
        self._timer = c.timer.call_repeatedly(EVERY, self._heartbeat.touch)

    def stop(self, c: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()


app.steps["consumer"].add(HeartbeatFileStep)


@control_command()
def refresh_gallery(state: Any) -> dict[str, str]:
    """``celery control refresh_gallery``: the gallery has changed; look now, not in a minute."""
    threading.Thread(target=_refresh, name="gallery-refresh", daemon=True).start()
    return {"ok": "looking"}


def _refresh() -> None:
    try:
        engine().refresh()
    except (AwsError, GalleryError) as error:
        log.warning("keeping the gallery as it is: %s", error)
