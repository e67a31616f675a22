"""The answers of a process, against an SQS that does as it is told."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery_sqs._aws.queues import OWNER_TAG
from celery_sqs._results import consumer as module
from celery_sqs._results import pending
from celery_sqs._results.consumer import ResultConsumer
from celery_sqs._results.response_queue import ResponseQueue
from celery_sqs.errors import ResultForgotten

Eventually = Callable[..., None]


class Sqs:
    """One queue, owned by us already. ``put`` makes the next poll return these bodies."""

    def __init__(self) -> None:
        self._messages: queue.Queue[list[dict[str, str]]] = queue.Queue()
        self.polls: list[float] = []
        self.tagged = 0
        self.deleted = 0

    def put(self, *bodies: str) -> None:
        self._messages.put([{"Body": body, "ReceiptHandle": body} for body in bodies])

    def get_queue_url(self, QueueName: str) -> dict[str, str]:
        return {"QueueUrl": f"http://sqs/{QueueName}"}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {}

    def set_queue_attributes(self, **_: Any) -> None:
        pass

    def list_queue_tags(self, QueueUrl: str) -> dict[str, Any]:
        return {"Tags": {OWNER_TAG: "here"}}

    def tag_queue(self, **_: Any) -> None:
        self.tagged += 1

    def receive_message(self, **_: Any) -> dict[str, Any]:
        self.polls.append(time.monotonic())
        try:
            return {"Messages": self._messages.get(timeout=0.05)}
        except queue.Empty:
            return {}

    def delete_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:
        self.deleted += len(Entries)
        return {}


@pytest.fixture
def sqs() -> Sqs:
    return Sqs()


@pytest.fixture
def consumer(sqs: Sqs, tmp_path: Path) -> Iterator[ResultConsumer]:
    def client() -> Any:
        return sqs

    address = ResponseQueue(client, base="resp", machine="here", state_dir=tmp_path)
    consumer = ResultConsumer(client, address)
    yield consumer
    consumer.close_at_exit()


def waiting(consumer: ResultConsumer, *task_ids: str) -> list[threading.Thread]:
    threads = [threading.Thread(target=consumer.wait, args=(task_id, 10)) for task_id in task_ids]
    for thread in threads:
        thread.start()
    return threads


def test_pending_results_do_not_grow_for_ever_and_forgotten_ones_say_so(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(pending, "MAX_PENDING", 10)
    consumer.open("waited for")
    (thread,) = waiting(consumer, "waited for")
    eventually(lambda: consumer.health().waiting == 1)
    for number in range(12):
        consumer.open(f"task {number}")
    closed = [n for n in range(12) if not consumer.is_open(f"task {n}")]
    assert closed == [0, 1, 2]
    assert consumer.is_open("waited for")
    with pytest.raises(ResultForgotten):
        consumer.wait("task 0", 5)
    with pytest.raises(ResultForgotten):
        consumer.peek("task 1")
    sqs.put("waited for\n1", "task 0\n1")
    thread.join(10)
    eventually(lambda: consumer.health().counters.get("late") == 1)


def test_the_queue_is_said_to_be_in_use_again_and_again(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(module, "RENEW_AFTER", 0.0)
    consumer.start()
    eventually(lambda: sqs.tagged > 3)


def test_a_single_waiter_is_never_delayed(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_EACH", 5.0)
    monkeypatch.setattr(module, "GATHER_MOST", 5.0)
    for number in range(3):
        task_id = f"task {number}"
        consumer.open(task_id)
        sqs.put(f"{task_id}\n1")
        assert consumer.wait(task_id, 1.0) == "1"


def test_while_no_thread_waits_the_next_poll_is_later(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(module, "UNWANTED_SECONDS", 0.5)
    consumer.open("a")
    sqs.put("a\n1")
    eventually(lambda: consumer.health().counters.get("delivered") == 1)
    polls = len(sqs.polls)
    eventually(lambda: len(sqs.polls) > polls)
    assert max(later - earlier for earlier, later in pairwise(sqs.polls)) >= 0.5


def test_the_next_poll_begins_when_a_thread_or_callback_waits(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNWANTED_SECONDS", 60.0)
    for number in range(3):
        task_id = f"task {number}"
        consumer.open(task_id)
        sqs.put(f"{task_id}\n1")
        assert consumer.wait(task_id, 10) == "1"
    arrived = threading.Event()
    sqs.put("another\n1")
    with consumer.notify("another", arrived.set):
        assert arrived.wait(10)


def test_a_result_that_is_not_waited_for_delays_no_waiter(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(module, "UNWANTED_SECONDS", 60.0)
    (thread,) = waiting(consumer, "waited for")
    eventually(lambda: consumer.health().waiting == 1)
    consumer.open("another")
    sqs.put("another\n1")
    sqs.put("waited for\n1")
    thread.join(10)
    assert not thread.is_alive()
    assert consumer.health().waiting == 0


def test_a_wait_that_timed_out_is_not_counted_any_more(consumer: ResultConsumer, sqs: Sqs) -> None:
    consumer.open("a")
    with pytest.raises(CeleryTimeoutError):
        consumer.wait("a", 0.05)
    assert consumer.health().waiting == 0
    sqs.put("a\n1")
    assert consumer.wait("a", 10) == "1"
    assert consumer.wait("a", 10) == "1"
    assert consumer.health().waiting == 0


def test_while_many_wait_answers_gather(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(module, "GATHER_EACH", 0.2)
    monkeypatch.setattr(module, "GATHER_MOST", 0.4)
    consumer.start()
    threads = waiting(consumer, "a", "b", "c")
    eventually(lambda: consumer.health().waiting == 3)
    sqs.put("a\n1")
    threads[0].join(10)
    polls = len(sqs.polls)
    time.sleep(0.2)  # half of the pause: long enough for two polls without it
    assert len(sqs.polls) == polls
    sqs.put("b\n1", "c\n1")
    for thread in threads:
        thread.join(10)


def test_closing_flushes_the_deletions(
    consumer: ResultConsumer, sqs: Sqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer.open("a")
    sqs.put("a\n1")
    assert consumer.wait("a", 10) == "1"
    assert sqs.deleted == 0
    consumer.close_at_exit()
    assert sqs.deleted == 1


def test_ten_thousand_pending_results_are_all_kept(consumer: ResultConsumer, sqs: Sqs) -> None:
    for number in range(10_050):
        consumer.open(f"task {number}")
    sqs.put("task 0\n1")
    assert consumer.wait("task 0", 10) == "1"


def test_what_is_called_between_is_called_at_its_interval(consumer: ResultConsumer) -> None:
    calls: list[int] = []
    with pytest.raises(CeleryTimeoutError):
        consumer.wait("a", 0.25, interval=0.05, on_interval=lambda: calls.append(1))
    assert 2 <= len(calls) <= 5
