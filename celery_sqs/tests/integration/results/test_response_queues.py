"""Response queues: whose they are, what happens when they or SQS fail, and their settings."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from celery import Celery
from celery.app.task import Context
from celery.exceptions import ImproperlyConfigured
from celery.result import AsyncResult, GroupResult
from celery_sqs._aws.queues import SEEN_TAG, counts, ensure_queue, queue_url, read_tags
from celery_sqs._results import backend as backend_module
from celery_sqs.errors import ResponseQueueLost

from celery_sqs import _runtime

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def send(app: Celery, *args: object) -> AsyncResult:
    return app.send_task("tests.task", args)


def test_reply_to_a_foreign_queue_is_not_followed(
    app: Celery, sqs: "SQSClient", names: Any
) -> None:
    ensure_queue(sqs, f"{names.id}-req-queue")
    app.backend.store_result("id", 1, "SUCCESS", request=Context(reply_to=f"{names.id}-req-queue"))
    assert counts(sqs, f"{names.id}-req-queue").total == 0


def test_a_missing_response_queue_fails_no_task(
    app: Celery, names: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gone = f"{names.response_queue}-gone-0"
    app.backend.store_result("some-id", 1, "SUCCESS", request=Context(reply_to=gone))
    assert app.backend.counters == {"not_sent": 1}
    assert "some-id" in caplog.text


def test_a_queue_deleted_after_the_worker_knew_it_fails_no_task(
    app: Celery,
    worker: Callable[..., None],
    make_app: Callable[..., Celery],
    sqs: "SQSClient",
    names: Any,
) -> None:
    result = send(app)
    worker(result, 1)
    assert result.get(timeout=10) == 1
    backend = make_app().backend
    url = ensure_queue(sqs, f"{names.response_queue}-m-5")
    request = Context(reply_to=f"{names.response_queue}-m-5")
    backend.store_result("one", 1, "SUCCESS", request=request)
    sqs.delete_queue(QueueUrl=url)
    backend.store_result("two", 1, "SUCCESS", request=request)
    backend.store_result("three", 1, "SUCCESS", request=request)
    assert backend.counters == {"sent": 1, "not_sent": 2}


def test_a_deleted_response_queue_wakes_those_who_wait_and_gets_a_successor(
    app: Celery, worker: Callable[..., None], sqs: "SQSClient", names: Any
) -> None:
    orphan = send(app)
    sqs.delete_queue(QueueUrl=queue_url(sqs, names.response_queue))
    began = time.monotonic()
    with pytest.raises(ResponseQueueLost):
        GroupResult("g", [orphan], app=app).get(timeout=60)
    with pytest.raises(ResponseQueueLost):
        orphan.get(timeout=60)
    assert time.monotonic() - began < 30  # at most a long poll
    successor = app.backend.health().queue
    assert successor.startswith(f"{names.response_queue}-testmachine-0-")
    result = send(app)
    worker(result, 2)
    assert result.get(timeout=10) == 2
    assert app.backend.health().counters["lost_queues"] == 1
    _runtime.close_all()
    with pytest.raises(Exception, match=successor):
        queue_url(sqs, successor)


# Who has which queue

CLIENT = """
import json, sys
from celery import Celery
app = Celery("client")
app.conf.update(broker_url="memory://",
    result_backend="celery_sqs:ResponseQueueBackend",
    result_backend_transport_options=json.loads(sys.argv[1]))
app.backend.start()
print(app.backend.health().queue, flush=True)
sys.stdin.read()
"""


class Client:
    """A client process that has taken its response queue."""

    def __init__(self, names: Any, machine: str, state_dir: Path) -> None:
        options = {
            "response_queue": names.response_queue,
            "machine": machine,
            "state_dir": str(state_dir),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.queue = self._process.stdout.readline().strip()

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self._process.kill()
        self._process.communicate(timeout=30)


@pytest.fixture
def client(names: Any, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    started: list[Client] = []

    def start(machine: str = "one") -> Client:
        started.append(Client(names, machine, tmp_path / machine))
        return started[-1]

    yield start
    for client in started:
        client.end(kill=True)


def test_two_processes_never_share_a_queue_and_a_restarted_one_has_its_own_again(
    client: Callable[..., Client], names: Any
) -> None:
    first, second, third = client(), client(), client()
    base = names.response_queue
    assert [c.queue for c in (first, second, third)] == [base, f"{base}-one-1", f"{base}-one-2"]
    second.end(kill=True)
    assert client().queue == f"{base}-one-1"
    first.end(kill=True)
    assert client().queue == base


def test_two_machines_never_share_the_base_name(client: Callable[..., Client], names: Any) -> None:
    first, second = client("one"), client("two")
    base = names.response_queue
    assert (first.queue, second.queue) == (base, f"{base}-two-0")
    first.end()  # gives the name back
    assert client("three").queue == base


def test_a_queue_says_when_its_user_was_last_seen(
    client: Callable[..., Client], sqs: "SQSClient"
) -> None:
    first, second = client(), client()
    for queue in (first.queue, second.queue):
        seen = int(read_tags(sqs, queue_url(sqs, queue))[SEEN_TAG])
        assert abs(seen - time.time()) < 60


# A receiver that nothing ends


class Faulty:
    """The real client, whose next polls fail as told."""

    def __init__(self, real: "SQSClient") -> None:
        self._real = real
        self.faults: list[Exception] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def receive_message(self, **arguments: Any) -> Any:
        if self.faults:
            raise self.faults.pop(0)
        return self._real.receive_message(**arguments)


def answer(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "ReceiveMessage")


def test_no_failed_poll_ends_the_receiver(
    app: Celery, worker: Callable[..., None], sqs: "SQSClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celery_sqs._results.consumer.FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr("celery_sqs._results.consumer.LONGEST_RETRY_SECONDS", 0.01)
    faulty = Faulty(sqs)
    faulty.faults = [
        answer("RequestThrottled"),
        answer("ExpiredToken"),
        answer("InternalError"),
        OSError("no botocore error at all"),
        MemoryError(),
    ]
    monkeypatch.setattr(backend_module, "make_client", lambda *_, **__: faulty)
    result = send(app)
    worker(result, 1)
    assert result.get(timeout=10) == 1
    health = app.backend.health()
    assert health.counters["failed_polls"] == 5
    assert health.receiving


def test_wrong_settings_are_named_all_at_once(make_app: Callable[..., Celery]) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"response_queue must.*queu is unknown"):
        make_app(response_queue="", queu="x").backend.start()
    app = make_app()
    app.conf.result_serializer = "pickle"
    with pytest.raises(ImproperlyConfigured, match="text format"):
        app.backend.start()
