"""Results through response queues, on an emulated SQS.

A worker's side is played by ``store_result`` of a second application, as a prefork child calls it.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from celery import Celery, chain, chord, group
from celery.app.task import Context
from celery.exceptions import ImproperlyConfigured
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, GroupResult
from celery.signals import before_task_publish
from celery_sqs._aws.client import Account, make_client
from celery_sqs._aws.queues import SEEN_TAG, counts, ensure_queue, queue_url, read_tags
from celery_sqs._results import backend as backend_module
from celery_sqs._results.backend import (
    MAX_RESULT_BYTES,
    ResponseQueueBackend,
)
from celery_sqs._results.sender import capture_results
from celery_sqs.errors import ResponseQueueLost, ResultTooLarge, ResultUnknown

from celery_sqs import _runtime, get_async

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

Eventually = Callable[..., None]


class OurError(Exception):
    """An error of the tests' own, to come back as itself."""


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


def make_app(names: Any, **options: Any) -> Celery:
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


@pytest.fixture
def app(names: Any) -> Iterator[Celery]:
    yield make_app(names)
    _runtime.close_all()


@pytest.fixture
def stored_app(names: Any, tmp_path: Path) -> Iterator[Celery]:
    """With a result store."""
    yield make_app(names, result_store=f"file://{tmp_path}")
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
def worker(names: Any, post: Post) -> Callable[..., None]:
    """``worker(result, value, state)`` stores a result as a worker's child does."""
    backend: ResponseQueueBackend = make_app(names).backend

    def store(result: AsyncResult, value: object, state: str = "SUCCESS") -> None:
        request = Context(reply_to=post.properties[result.id]["reply_to"])
        backend.store_result(result.id, value, state, request=request)

    return store


def send(app: Celery, *args: object) -> AsyncResult:
    return app.send_task("tests.task", args)


def test_a_result_wakes_its_waiter_at_once(
    app: Celery, worker: Callable[..., None], names: Any
) -> None:
    result = send(app, 1)
    arrival: list[float] = []
    waiter = threading.Thread(target=lambda: arrival.append(result.get(10) or time.monotonic()))
    waiter.start()
    sent = time.monotonic()
    worker(result, None)
    waiter.join(10)
    assert arrival[0] - sent < 1.0
    assert app.backend.health().queue == names.response_queue
    assert app.backend.health().ok


def test_values_and_states_come_back_as_they_were(app: Celery, worker: Callable[..., None]) -> None:
    value = {"name": "Ünïcode 漢 😀", "list": [1, 2.5, None, True]}
    result = send(app)
    assert (result.state, result.ready()) == ("PENDING", False)
    worker(result, value)
    assert result.get(timeout=10) == value
    assert result.successful()
    again = AsyncResult(result.id, app=app)
    assert again.result == again.get(timeout=0) == value
    again.forget()
    with pytest.raises(ResultUnknown):
        _ = AsyncResult(result.id, app=app).state


def test_what_this_process_cannot_know_is_an_error_and_never_pending(app: Celery) -> None:
    foreign = AsyncResult("sent-by-another-process", app=app)
    for ask in (lambda: foreign.state, foreign.ready, foreign.get, lambda: foreign.get(timeout=60)):
        with pytest.raises(ResultUnknown, match="result_store"):
            ask()
    group = GroupResult("g", [foreign], app=app)
    for ask in (
        group.save,
        lambda: GroupResult.restore("g", app=app),
        lambda: next(group.iter_native()),
    ):
        with pytest.raises(ResultUnknown, match="result_store"):
            ask()
    with pytest.raises(NotImplementedError, match="result_store"):
        chord([app.signature("t")], app.signature("t")).delay()


def test_a_result_waits_for_a_later_get(
    app: Celery, worker: Callable[..., None], eventually: Eventually
) -> None:
    result = send(app)
    worker(result, 1)
    eventually(result.ready)
    assert AsyncResult(result.id, app=app).get(timeout=0) == 1


def test_errors_come_back_typed(app: Celery, worker: Callable[..., None]) -> None:
    result = send(app)
    worker(result, OurError("broken", 3), "FAILURE")
    with pytest.raises(OurError) as caught:
        result.get(timeout=10)
    assert caught.value.args == ("broken", 3)
    assert result.failed()


def test_states_before_the_last_are_not_sent(
    app: Celery, worker: Callable[..., None], sqs: "SQSClient", names: Any
) -> None:
    result = send(app)
    worker(result, {"pid": 1}, "STARTED")
    worker(result, OurError("again"), "RETRY")
    worker(result, "done")
    assert result.get(timeout=10) == "done"
    assert app.backend.health().counters["received"] == 1


@pytest.mark.parametrize("many", [200, pytest.param(1000, marks=pytest.mark.soak)])
def test_many_threads_wait_and_each_gets_its_own(
    app: Celery, worker: Callable[..., None], many: int
) -> None:
    results = [send(app, number) for number in range(many)]
    got: dict[int, object] = {}

    def wait(number: int) -> None:
        got[number] = results[number].get(timeout=60)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(many)]
    for thread in threads:
        thread.start()
    for number in reversed(range(many)):
        worker(results[number], number)
    for thread in threads:
        thread.join(60)
    assert got == {number: number for number in range(many)}
    health = app.backend.health()
    assert (health.waiting, health.expected) == (0, 0)
    assert health.counters["delivered"] == many


def test_no_result_is_a_typed_timeout_and_may_be_waited_for_again(
    app: Celery, worker: Callable[..., None]
) -> None:
    result = send(app)
    began = time.monotonic()
    with pytest.raises(CeleryTimeoutError) as caught:
        result.get(timeout=0.3)
    assert 0.25 < time.monotonic() - began < 2
    assert not isinstance(caught.value, ResponseQueueLost)
    worker(result, 5)
    assert result.get(timeout=10) == 5


def test_late_duplicate_foreign_and_broken_results_are_dropped_and_counted(
    app: Celery,
    worker: Callable[..., None],
    sqs: "SQSClient",
    names: Any,
    eventually: Eventually,
) -> None:
    late, twice = send(app), send(app)
    late.forget()
    worker(late, 1)
    worker(twice, 2)
    assert twice.get(timeout=10) == 2
    worker(twice, 3)
    url = queue_url(sqs, names.response_queue)
    sqs.send_message(QueueUrl=url, MessageBody='another-task\n{"status": "SUCCESS"}')
    sqs.send_message(QueueUrl=url, MessageBody="nonsense")
    eventually(lambda: app.backend.health().counters["received"] == 5)
    seen = app.backend.health().counters
    kinds = ("delivered", "late", "duplicate", "foreign", "unreadable")
    assert [seen[kind] for kind in kinds] == [1, 1, 1, 1, 1]
    assert twice.get(timeout=0) == 2
    _runtime.close_all()  # flushes the deletions
    assert counts(sqs, names.response_queue).total == 0


def test_a_damaged_result_is_raised_to_its_waiter_alone(
    app: Celery, worker: Callable[..., None], sqs: "SQSClient", names: Any
) -> None:
    broken, fine = send(app), send(app)
    url = queue_url(sqs, names.response_queue)
    sqs.send_message(QueueUrl=url, MessageBody=f"{broken.id}\nnot json")
    worker(fine, 1)
    assert fine.get(timeout=10) == 1
    with pytest.raises(Exception, match=r"(?i)expecting|decode"):
        broken.get(timeout=10)


def test_groups_and_chains_bring_their_results(
    app: Celery, worker: Callable[..., None], post: Post, names: Any
) -> None:
    task = app.signature("tests.add")
    several = group(task.clone((number,)) for number in range(3)).apply_async()
    for number, result in enumerate(several.results):
        worker(result, number)
    assert several.get(timeout=10) == [0, 1, 2]

    last = chain(task.clone((1,)), task.clone((2,)), task.clone((3,))).apply_async()
    first = last.parent.parent
    embedded = post.bodies[first.id][2]["chain"]
    assert [inner["options"]["reply_to"] for inner in embedded] == [names.response_queue] * 2
    post.properties[last.id] = post.properties[first.id]
    post.properties[last.parent.id] = post.properties[first.id]
    worker(first, 1)
    worker(last.parent, 3)
    worker(last, 6)
    assert last.get(timeout=10) == 6


def test_a_failed_parent_ends_the_wait_for_the_last_of_a_chain(
    app: Celery, worker: Callable[..., None]
) -> None:
    task = app.signature("tests.add")
    last = chain(task.clone((1,)), task.clone((2,))).apply_async()
    worker(last.parent, OurError("first"), "FAILURE")
    with pytest.raises(OurError):
        last.get(timeout=10, interval=0.1)


def test_a_group_fails_with_a_task_of_its_own_not_with_that_tasks_parent(
    app: Celery, worker: Callable[..., None]
) -> None:
    first, last = send(app), send(app)
    last.parent = first
    group = GroupResult("g", [last], app=app)
    worker(first, OurError("first"), "FAILURE")
    with pytest.raises(CeleryTimeoutError):
        group.get(timeout=0.5)
    worker(last, OurError("last"), "FAILURE")
    with pytest.raises(OurError, match="last"):
        group.get(timeout=10)
    assert last.state == "FAILURE"


def test_a_group_behind_a_failed_task_is_not_awaited(
    app: Celery, worker: Callable[..., None]
) -> None:
    first = send(app)
    inner = GroupResult("g", [send(app)], parent=first, app=app)
    worker(first, OurError("first"), "FAILURE")
    for behind in (inner, GroupResult("outer", [inner], app=app)):
        with pytest.raises(OurError, match="first"):
            behind.get(timeout=10)


def test_a_groups_timeout_is_that_of_the_groups_inside_as_well(
    app: Celery, worker: Callable[..., None]
) -> None:
    deep, flat = send(app), send(app)
    inner = GroupResult("inner", [deep], app=app)
    group = GroupResult("outer", [inner, flat], app=app)
    worker(flat, 1)
    with pytest.raises(CeleryTimeoutError):
        group.get(timeout=0.5)
    worker(deep, 2)
    assert group.get(timeout=10) == [[2], 1]
    assert group.get(timeout=0) == [[2], 1]


def test_a_group_waits_for_no_result_that_is_ignored(
    app: Celery, worker: Callable[..., None]
) -> None:
    wanted, ignored = send(app), send(app)
    ignored.ignored = True
    worker(wanted, 1)
    assert GroupResult("g", [wanted, ignored], app=app).get(timeout=10) == [1, None]


def test_a_group_reads_no_store_while_results_are_pushed(
    stored_app: Celery, reads: list[int], worker: Callable[..., None]
) -> None:
    app = stored_app
    results = [send(app, number) for number in range(30)]
    for number, result in enumerate(results):
        worker(result, number)
    assert GroupResult("g", results, app=app).get(timeout=10) == list(range(30))
    assert reads == []
    lost = send(app)
    app.backend.store.write(lost.id, {"status": "SUCCESS", "result": 7}, first=True)
    assert GroupResult("g", [lost], app=app).get(timeout=0.1) == [7]  # its push never comes


def test_waiting_for_a_chord_reads_its_parts_from_the_store_once(
    stored_app: Celery, reads: list[int], worker: Callable[..., None]
) -> None:
    app = stored_app
    parts = [send(app) for _ in range(20)]
    body = send(app)
    body.parent = GroupResult("g", parts, app=app)
    with pytest.raises(CeleryTimeoutError):
        body.get(timeout=1, interval=0.05)
    assert sum(reads) == len(parts) + 1  # Celery's first look, and the body itself at the end
    worker(parts[7], OurError("part"), "FAILURE")
    with pytest.raises(OurError, match="part"):
        body.get(timeout=10, interval=0.05)


def test_a_first_failure_is_stored_without_a_read_but_never_over_a_success(
    stored_app: Celery, reads: list[int]
) -> None:
    backend = stored_app.backend
    request = Context(sqs_receive_count=1)
    failure = (OurError("x"), "FAILURE")
    capture_results(backend.store_result, "by-its-child", *failure, request=request)
    assert reads == []
    backend.store_result("died", 1, "SUCCESS", request=request)
    backend.store_result("died", *failure, request=request)  # the worker's word on its child
    assert AsyncResult("by-its-child", app=stored_app).state == "FAILURE"
    assert AsyncResult("died", app=stored_app).state == "SUCCESS"


def test_a_result_nobody_wants_is_not_sent(app: Celery, sqs: "SQSClient", post: Post) -> None:
    result = app.send_task("tests.task", ignore_result=True)
    assert not post.properties[result.id]["reply_to"].startswith("t")  # celery's own id
    assert app.backend.health().queue == ""  # and no queue was taken


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
    app: Celery, worker: Callable[..., None], sqs: "SQSClient", names: Any
) -> None:
    result = send(app)
    worker(result, 1)
    assert result.get(timeout=10) == 1
    backend = make_app(names).backend
    url = ensure_queue(sqs, f"{names.response_queue}-m-5")
    request = Context(reply_to=f"{names.response_queue}-m-5")
    backend.store_result("one", 1, "SUCCESS", request=request)
    sqs.delete_queue(QueueUrl=url)
    backend.store_result("two", 1, "SUCCESS", request=request)
    backend.store_result("three", 1, "SUCCESS", request=request)
    assert backend.counters == {"sent": 1, "not_sent": 2}


def test_a_result_too_large_for_a_message_is_a_failure_and_not_a_silence(
    app: Celery, worker: Callable[..., None]
) -> None:
    result = send(app)
    worker(result, "x" * MAX_RESULT_BYTES)
    with pytest.raises(ResultTooLarge):
        result.get(timeout=10)


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


def test_results_are_awaited_without_a_thread_each(
    app: Celery, worker: Callable[..., None]
) -> None:
    results = [send(app) for _ in range(50)]

    async def wait() -> list[Any]:
        before = threading.active_count()
        waiting = [asyncio.create_task(get_async(result, 20)) for result in results]
        await asyncio.sleep(0.1)
        threads = threading.active_count() - before
        for number, result in enumerate(results):
            await asyncio.to_thread(worker, result, number)
        got = await asyncio.gather(*waiting)
        assert threads < 20
        with pytest.raises(CeleryTimeoutError):
            await get_async(send(app), 0.1)
        return got

    with ThreadPoolExecutor(1) as pool:  # a loop of another test may run in this thread
        assert pool.submit(asyncio.run, wait()).result() == list(range(50))
    assert app.backend.health().waiting == 0


def test_wrong_settings_are_named_all_at_once(names: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"response_queue must.*queu is unknown"):
        make_app(names, response_queue="", queu="x").backend.start()
    app = make_app(names)
    app.conf.result_serializer = "pickle"
    with pytest.raises(ImproperlyConfigured, match="text format"):
        app.backend.start()
