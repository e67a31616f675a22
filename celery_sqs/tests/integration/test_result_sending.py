"""Workers' answers go together and before their requests, however the worker ends."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from celery_sqs._aws.queues import queue_url
from celery_sqs.testing import fault_proxy as faults

from celery_sqs import _runtime

WITHIN = 30.0
"""Seconds an answer may take on a busy machine."""


@pytest.fixture
def client(
    request: pytest.FixtureRequest, names: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The sample application, which waits for answers."""
    monkeypatch.setenv("SAMPLE_ANSWERS", "yes")
    yield request.getfixturevalue("sample")
    _runtime.close_all()


def ask(client: Any, task: str, labels: list[str], *arguments: Any) -> list[Any]:
    return [client.send(task, label, *arguments) for label in labels]


def told(results: list[Any]) -> list[str]:
    return [result.get(timeout=WITHIN) for result in results]


def names(count: int) -> list[str]:
    return [f"n{n}" for n in range(count)]


def runs(client: Any) -> list[str]:
    return sorted(line[1] for line in client.notes("begin"))


def test_children_send_nothing_and_results_share_calls(client: Any, proxy: Any) -> None:
    client.start("-c4", AWS_ENDPOINT_URL=proxy.url)
    proxy.late = 0.5  # so that answers gather
    proxy.rule = faults.often(1, "late", actions="SendMessageBatch")
    results = ask(client, "answer", names(40))
    assert told(results) == names(40)
    client.eventually(client.empty, within=20)
    assert proxy.calls["SendMessage"] == 0
    assert proxy.calls["SendMessageBatch"] <= 20
    assert runs(client) == sorted(names(40))


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_results_of_every_pool_and_size(client: Any, proxy: Any, pool: str) -> None:
    client.start("-c2", "-P", pool, AWS_ENDPOINT_URL=proxy.url)
    sizes = [0, 1000, 100_000, 250_000]
    results = [client.send("answer", "a", size) for size in sizes]
    assert [len(r.get(timeout=WITHIN)) for r in results] == [size + 1 for size in sizes]
    broken = client.send("fail", "for a reason")
    with pytest.raises(ValueError, match="for a reason"):
        broken.get(timeout=WITHIN)
    dead_lettered = client.send("answer_and_dead_letter", "as poison")
    assert dead_lettered.get(timeout=WITHIN) == "as poison"  # and not Celery's own failure after it
    client.eventually(lambda: client.counts(client.graveyard).visible >= 1)
    client.eventually(client.empty, within=20)
    assert proxy.calls["SendMessage"] == 1  # into the dead-letter queue


def test_a_child_killed_around_its_result_loses_none(client: Any) -> None:
    """Whether it dies before, in the middle of or after its report to the parent."""
    client.start("-c2")
    moments = [0.0, 0.0005, 0.001, 0.002, 0.004, 0.008]
    results = [client.send("answer_and_die", f"n{n}", wait) for n, wait in enumerate(moments)]
    assert told(results) == names(len(moments))
    client.eventually(client.empty, within=20)
    assert client.empty(client.graveyard)


def test_a_parent_killed_with_results_unsent_loses_none(client: Any, proxy: Any) -> None:
    first = client.start("-c2", AWS_ENDPOINT_URL=proxy.url)
    proxy.rule = faults.often(1, "throttled", actions="SendMessageBatch")
    results = ask(client, "answer", names(6))
    client.eventually(lambda: proxy.spoiled["throttled"] >= 2, within=WITHIN)
    client.eventually(lambda: runs(client))
    os.kill(first.child.pid, signal.SIGKILL)
    assert proxy.calls["DeleteMessageBatch"] == 0  # no request without its answer
    client.start("-c2")
    assert told(results) == names(6)
    client.eventually(client.empty, within=20)


def test_a_stopping_worker_sends_what_it_has(client: Any, proxy: Any) -> None:
    worker = client.start("-c2", AWS_ENDPOINT_URL=proxy.url)
    proxy.late = 2.0
    proxy.rule = faults.often(1, "late", actions="SendMessageBatch")
    results = ask(client, "answer", names(8), 0, 0.2)
    client.eventually(lambda: proxy.spoiled["late"] >= 1, within=WITHIN)
    worker.child.signal(signal.SIGTERM)
    client.eventually(lambda: worker.child.exit_code is not None, within=WITHIN)
    assert worker.child.exit_code == 0
    begun = runs(client)
    client.eventually(lambda: client.counts().in_flight == 0, within=10)
    assert client.counts().visible == 8 - len(begun)  # whose task ran, was answered and is gone
    assert len(begun) == len(set(begun))
    client.start("-c2")
    assert told(results) == names(8)
    assert runs(client) == sorted(names(8))


@pytest.mark.parametrize(
    "ending", [signal.SIGTERM, pytest.param(signal.SIGQUIT, marks=pytest.mark.soak)]
)
def test_stopped_under_load_each_is_answered(client: Any, ending: int) -> None:
    results = ask(client, "answer", names(60), 0, 0.02)
    worker = client.start("-c2")
    for _ in range(2):
        client.eventually(lambda: len(runs(client)) > 5, within=WITHIN)
        following = client.start("-c2")
        worker.child.signal(ending)
        worker = following
    assert told(results) == names(60)
    client.eventually(client.empty, within=20)
    assert client.empty(client.graveyard)


def test_a_lost_connection_costs_no_result(client: Any, proxy: Any) -> None:
    worker = client.start("-c2", AWS_ENDPOINT_URL=proxy.url)
    results = ask(client, "answer", names(4), 0, 1.5)
    client.eventually(lambda: len(runs(client)) >= 2, within=WITHIN)
    proxy.stop()
    client.eventually(lambda: "sqs-result-sender: " in worker.output, within=WITHIN)
    proxy.start()
    assert told(results) == names(4)
    client.eventually(client.empty, within=WITHIN)


def test_a_deleted_response_queue_fails_no_task(client: Any, proxy: Any) -> None:
    worker = client.start("-c2", AWS_ENDPOINT_URL=proxy.url)
    assert client.send("answer", "before").get(timeout=WITHIN) == "before"
    orphan = client.send("answer", "orphan", 0, 1.0)
    queue = client.app.backend.health().queue
    client.sqs.delete_queue(QueueUrl=queue_url(client.sqs, queue))
    client.eventually(lambda: "not sent" in worker.output, within=WITHIN)
    client.eventually(client.empty, within=20)
    assert orphan.id in worker.output
    client.eventually(lambda: client.app.backend.health().queue != queue, within=WITHIN)
    assert client.send("answer", "after").get(timeout=WITHIN) == "after"


def test_replaced_children_answer(client: Any) -> None:
    client.start("-c2", "--max-tasks-per-child", "1")
    results = ask(client, "answer", names(12), 150_000)
    assert [len(answer) for answer in told(results)] == [len(n) + 150_000 for n in names(12)]
    client.eventually(client.empty, within=20)
    assert runs(client) == sorted(names(12))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_replaced_children_answer(client: Any) -> None:
    client.start("-c2", "--max-tasks-per-child", "1")
    results = ask(client, "answer", names(200))
    assert [result.get(timeout=600) for result in results] == names(200)
    client.eventually(client.empty, within=20)
    assert runs(client) == sorted(names(200))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_hundred_children_killed_around_their_results(client: Any) -> None:
    client.start("-c4")
    results = [client.send("answer_and_die", f"n{n}", n * 0.0001) for n in range(100)]
    assert [result.get(timeout=600) for result in results] == names(100)
    client.eventually(client.empty, within=60)
    assert client.empty(client.graveyard)
