"""A result store: one of Celery's key/value backends, used beside the pushed results."""

import os
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from celery import states
from celery.app import backends
from celery.backends.base import BaseKeyValueStoreBackend
from celery.exceptions import ImproperlyConfigured

from celery_sqs._stores.driver import Driver, driver_for
from celery_sqs.errors import InvalidOptions

Meta = dict[str, Any]


class _Connected(NamedTuple):
    """The backend of one thread and process, and its driver."""

    pid: int
    backend: Any
    driver: Driver | None


class ResultStore:
    """Any ``KeyValueStoreBackend`` that Celery ships, by the URL Celery knows it by.

    A connection for each thread and process: boto3's resources are safe for neither threads nor
    forks. Raises :class:`InvalidOptions` for what is not such a store.
    """

    def __init__(self, app: Any, url: str) -> None:
        self._app = app
        self._local = threading.local()
        try:
            self._class, self._url = backends.by_url(url, app.loader)
        except (ImproperlyConfigured, ImportError) as error:
            raise InvalidOptions(f"result_store: {error}") from error
        if not issubclass(self._class, BaseKeyValueStoreBackend):
            raise InvalidOptions(
                f"result_store: {self._class.__name__} is not one of Celery's key/value stores;"
                " dynamodb, s3, redis and file are"
            )
        if self._class.__name__ == "DynamoDBBackend":
            from celery_sqs._stores.dynamodb_table import SharedTableBackend

            self._class = SharedTableBackend
        self.supports_autoexpire = bool(self._class.supports_autoexpire)

    @property
    def _connected(self) -> _Connected:
        found: _Connected | None = getattr(self._local, "connected", None)
        if found is None or found.pid != os.getpid():
            backend = self._class(app=self._app, url=self._url)
            found = self._local.connected = _Connected(os.getpid(), backend, driver_for(backend))
        return found

    @property
    def backend(self) -> Any:
        """Celery's backend, this thread's own."""
        return self._connected.backend

    @property
    def driver(self) -> Driver:
        """Raises :class:`NotImplementedError` for a store that cannot have chords."""
        found = self._connected.driver
        if found is None:
            raise NotImplementedError(
                f"chords need a result store with conditional writes (dynamodb, s3, redis, file);"
                f" {self._class.__name__} has none"
            )
        return found

    def write(self, task_id: str, meta: Meta, *, first: bool) -> None:
        """Stores a task's state and result.

        A success is never overwritten: a repeated run must not change what was read. ``first``: it
        is known that the task has not run before, so there is nothing to look for.
        """
        backend = self.backend
        if not first and self.read(task_id)["status"] == states.SUCCESS:
            return
        key = backend.get_key_for_task(task_id)
        backend._set_with_state(key, backend.encode(meta), meta["status"])

    def read(self, task_id: str) -> Meta:
        """``PENDING`` when the store has nothing of this task."""
        return self.read_many([task_id])[0]

    def read_many(self, task_ids: Sequence[str]) -> list[Meta]:
        """Metas in the order of the ids."""
        backend, driver = self.backend, self._connected.driver
        keys = [backend.get_key_for_task(task_id) for task_id in task_ids]
        values = driver.read_many(keys) if driver else [backend.get(key) for key in keys]
        return [
            backend.decode_result(value) if value else _pending(task_id)
            for task_id, value in zip(task_ids, values, strict=True)
        ]

    def forget(self, task_ids: Iterable[str]) -> None:
        backend = self.backend
        for task_id in task_ids:
            backend._forget(task_id)


def _pending(task_id: str) -> Meta:
    return {"status": states.PENDING, "result": None, "task_id": task_id}
