"""One result: how it comes back, and what is no result."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, chord
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, GroupResult
from celery_sqs._aws.queues import counts, queue_url
from celery_sqs._results.backend import MAX_RESULT_BYTES
from celery_sqs.errors import ResponseQueueLost, ResultTooLarge, ResultUnknown

from celery_sqs import _runtime, get_async

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class OurError(Exception):
    """An error of the tests' own, to come back as itself."""


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
    app: Celery, worker: Callable[..., None], eventually: Callable[..., None]
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
    eventually: Callable[..., None],
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


def test_a_result_nobody_wants_is_not_sent(app: Celery, sqs: "SQSClient", post: Any) -> None:
    result = app.send_task("tests.task", ignore_result=True)
    assert not post.properties[result.id]["reply_to"].startswith("t")  # celery's own id
    assert app.backend.health().queue == ""  # and no queue was taken


def test_a_result_too_large_for_a_message_is_a_failure_and_not_a_silence(
    app: Celery, worker: Callable[..., None]
) -> None:
    result = send(app)
    worker(result, "x" * MAX_RESULT_BYTES)
    with pytest.raises(ResultTooLarge):
        result.get(timeout=10)


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
