"""Clients and workers of response queues on an emulated SQS.

A worker's side is played by ``store_result`` of a second application, as a prefork child calls it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.app.task import Context
from celery.result import AsyncResult
from celery.signals import before_task_publish
from celery_sqs._aws.client import Account, make_client
from celery_sqs._results.backend import ResponseQueueBackend

from celery_sqs import _runtime

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Post:
    """What was published: properties and body by task id, as the transport would see them."""

    def __init__(self) -> None:
        self.properties: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, Any] = {}

    def note(
        self, headers: dict[str, Any], properties: dict[str, Any], body: Any, **_: Any
    ) -> None:
        self.properties[headers["id"]] = properties
        self.bodies[headers["id"]] = body


@pytest.fixture
def sqs(names: Any) -> "SQSClient":
    return make_client("sqs", Account(names.region, names.endpoint_url))


@pytest.fixture
def post() -> Iterator[Post]:
    post = Post()
    before_task_publish.connect(post.note, weak=False)
    yield post
    before_task_publish.disconnect(post.note)


@pytest.fixture
def make_app(names: Any) -> Callable[..., Celery]:
    """``make_app(**options)`` makes a client or a worker, with options of the response queue."""

    def make(**options: Any) -> Celery:
        app = Celery("tests", set_as_current=False)
        app.conf.update(
            broker_url="memory://",
            result_backend="celery_sqs:ResponseQueueBackend",
            result_backend_transport_options={
                "response_queue": names.response_queue,
                "machine": "testmachine",
                "state_dir": names.state_dir,
                "region": names.region,
                "endpoint_url": names.endpoint_url,
                **options,
            },
        )
        return app

    return make


@pytest.fixture
def app(make_app: Callable[..., Celery]) -> Iterator[Celery]:
    yield make_app()
    _runtime.close_all()


@pytest.fixture
def stored_app(make_app: Callable[..., Celery], tmp_path: Path) -> Iterator[Celery]:
    """With a result store."""
    yield make_app(result_store=f"file://{tmp_path}")
    _runtime.close_all()


@pytest.fixture
def reads(stored_app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many results were asked of the store, a number for each read."""
    found: list[int] = []
    store = stored_app.backend.store
    read_many = store.read_many
    monkeypatch.setattr(store, "read_many", lambda ids: found.append(len(ids)) or read_many(ids))
    return found


@pytest.fixture
def worker(make_app: Callable[..., Celery], post: Post) -> Callable[..., None]:
    """``worker(result, value, state)`` stores a result as a worker's child does."""
    backend: ResponseQueueBackend = make_app().backend

    def store(result: AsyncResult, value: object, state: str = "SUCCESS") -> None:
        request = Context(reply_to=post.properties[result.id]["reply_to"])
        backend.store_result(result.id, value, state, request=request)

    return store
