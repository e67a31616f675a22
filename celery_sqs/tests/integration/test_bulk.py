"""Tasks sent in bulk: gathered into batch calls, with an outcome for each."""

import json
import os
import threading
import uuid
from collections.abc import Iterable
from typing import Any

import boto3
import pytest
from celery import Celery, group
from celery_sqs.errors import BulkSendFailed, MessageTooLarge, ResultUnknown, SendFailed
from celery_sqs.testing import FaultProxy

import celery_sqs

SEND = "SendMessageBatch"


def make_app(names: Any, proxy: FaultProxy, **options: Any) -> Celery:
    app = Celery(names.id, broker="sqs://", set_as_current=False)
    app.conf.update(
        broker_transport="celery_sqs:Transport",
        broker_transport_options={"endpoint_url": proxy.url, "namespace": names.id, **options},
        task_default_queue=names.request_queue,
    )

    @app.task(name="echo", shared=False)
    def echo(label: object) -> object:
        return label

    return app


def send_all(app: Celery, labels: Iterable[object], results: dict[Any, Any]) -> None:
    with celery_sqs.bulk(app):
        for number, label in enumerate(labels):
            results[number] = app.tasks["echo"].delay(label)


@pytest.fixture
def app(names: Any, proxy: FaultProxy) -> Any:
    made = make_app(names, proxy)
    yield made
    made.close()


def received(names: Any, queue: str) -> list[str]:
    """First arguments of all messages of a queue, in the order in which they come."""
    sqs = boto3.client("sqs", endpoint_url=names.endpoint_url)
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found: list[str] = []
    while True:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        messages = answer.get("Messages", [])
        if not messages:
            return found
        for message in messages:
            body = celery_sqs.decode_message(message["Body"], queue)["body"]
            found.append(json.loads(body)[0][0])
            if queue.endswith(".fifo"):  # the next of its group
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_a_thousand_tasks_take_a_hundred_calls(app: Any, names: Any, proxy: FaultProxy) -> None:
    app.tasks["echo"].delay("first")
    proxy.calls.clear()
    with celery_sqs.bulk(app):
        group(app.tasks["echo"].s(number) for number in range(1000)).apply_async()
    assert proxy.calls == {SEND: 100}
    assert sorted(received(names, names.request_queue)[1:]) == list(range(1000))


def test_exactly_those_that_failed_are_named(names: Any, proxy: FaultProxy) -> None:
    limited = make_app(names, proxy, max_message_size=4096)
    limited.conf.result_backend = f"sqs://{names.response_queue}"
    limited.conf.result_backend_transport_options = {"state_dir": str(names.state_dir)}
    limited.tasks["echo"].delay("first")
    sqs = boto3.client("sqs", endpoint_url=names.endpoint_url)
    url = sqs.get_queue_url(QueueName=names.request_queue)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "2048"})
    sizes = {3: 3000, 7: 5000, 15: 3000}  # the queue takes 2,048 bytes, the option allows 4,096
    results: dict[int, Any] = {}
    with pytest.raises(BulkSendFailed) as caught:
        send_all(limited, ["x" * sizes.get(number, 1) for number in range(25)], results)
    failed = {n: caught.value.failed.get(result.id) for n, result in results.items()}
    assert {n for n, error in failed.items() if error} == {3, 7, 15}
    assert isinstance(failed[7], MessageTooLarge)
    assert isinstance(failed[3], SendFailed)
    assert caught.value.sent == 22
    assert len(received(names, names.request_queue)) == 23
    assert results[1].state == "PENDING"
    with pytest.raises(ResultUnknown):
        results[3].get(timeout=5)
    limited.close()


def test_the_emulated_sqs_remembers_deduplication_ids_beyond_deletion(names: Any) -> None:
    sqs = boto3.client("sqs", endpoint_url=names.endpoint_url)
    made = sqs.create_queue(QueueName=f"{names.id}.fifo", Attributes={"FifoQueue": "true"})
    url, bodies = made["QueueUrl"], []
    for body in ("a", "a", "b", "a"):
        sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body
        )
        for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert bodies == ["a", "b"]


def test_a_fifo_queue_keeps_the_order(app: Any, names: Any) -> None:
    queue = f"{names.id}.fifo"
    with celery_sqs.bulk(app):
        for number in range(95):
            app.tasks["echo"].apply_async((number,), queue=queue, MessageGroupId="one")
    assert received(names, queue) == list(range(95))


def test_several_queues_fill_calls_of_their_own(app: Any, names: Any, proxy: FaultProxy) -> None:
    queues = [f"{names.id}-{letter}" for letter in "abc"]
    with celery_sqs.bulk(app):
        for number in range(60):
            app.tasks["echo"].apply_async((number,), queue=queues[number % 3])
    assert proxy.calls[SEND] == 6
    assert [len(received(names, queue)) for queue in queues] == [20, 20, 20]


def test_large_bodies_go_through_s3(names: Any, proxy: FaultProxy) -> None:
    s3 = boto3.client("s3", endpoint_url=names.endpoint_url)
    s3.create_bucket(Bucket=names.id)
    app = make_app(names, proxy, large_message_bucket=names.id, max_message_size=1024)
    with celery_sqs.bulk(app):
        for number in range(20):
            app.tasks["echo"].delay("x" * (2000 if number % 2 else 10))
    assert proxy.calls[SEND] == 2
    assert s3.list_objects_v2(Bucket=names.id)["KeyCount"] == 10
    app.close()


def test_calls_are_filled_by_bytes_too(app: Any, names: Any, proxy: FaultProxy) -> None:
    with celery_sqs.bulk(app):
        for _ in range(4):
            app.tasks["echo"].delay("x" * 100_000)
    assert proxy.calls[SEND] == 2
    assert len(received(names, names.request_queue)) == 4


def test_other_threads_send_at_once(app: Any, names: Any, proxy: FaultProxy) -> None:
    with celery_sqs.bulk(app):
        app.tasks["echo"].delay("gathered")
        other = threading.Thread(target=app.tasks["echo"].delay, args=("at once",))
        other.start()
        other.join()
        assert received(names, names.request_queue) == ["at once"]
    assert received(names, names.request_queue) == ["gathered"]


def test_a_forked_child_sends_at_once(app: Any, names: Any) -> None:
    with celery_sqs.bulk(app):
        app.tasks["echo"].delay("gathered")
        child = os.fork()
        if child == 0:
            app.tasks["echo"].delay("childs")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert received(names, names.request_queue) == ["childs"]
    assert received(names, names.request_queue) == ["gathered"]


def test_what_was_published_before_an_exception_is_sent(app: Any, names: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        send_all(app, (1 // number for number in (1, 0)), {})
    assert received(names, names.request_queue) == [1]


def test_a_block_inside_a_block_is_one_with_it(app: Any, names: Any, proxy: FaultProxy) -> None:
    with celery_sqs.bulk(app):
        app.tasks["echo"].delay("outer")
        with celery_sqs.bulk(app):
            app.tasks["echo"].delay("inner")
    assert proxy.calls[SEND] == 1
    app.tasks["echo"].delay("after")
    assert proxy.calls[SEND] == 2


def test_on_another_broker_tasks_are_sent_as_always() -> None:
    app = Celery("elsewhere", broker="memory://", set_as_current=False)
    app.conf.task_default_queue = queue = uuid.uuid4().hex  # memory:// is the whole process's
    with celery_sqs.bulk(app):
        app.send_task("echo", ("a",))
    with app.connection_for_read() as connection:
        assert connection.default_channel.queue_declare(queue, passive=True).message_count == 1


def test_an_unreachable_sqs_fails_every_task(app: Any, proxy: FaultProxy) -> None:
    app.tasks["echo"].delay("first")
    proxy.rule = lambda action: "broken" if action == SEND else None
    with pytest.raises(BulkSendFailed, match="12 of 12 tasks") as caught:
        send_all(app, range(12), {})
    assert len(caught.value.failed) == 12


def test_results_come_also_inside_the_block(sample: Any) -> None:
    environment: dict[str, str] = {"SAMPLE_ANSWERS": "1"}
    sample.start("-c2", **environment)
    code = """
import celery_sqs
with celery_sqs.bulk(app):
    assert app.tasks["sample.add"].delay(1, 2).get(timeout=20) == 3
    results = [app.tasks["sample.add"].delay(n, n) for n in range(25)]
assert [each.get(timeout=20) for each in results] == [2 * n for n in range(25)]
"""
    client = sample.python(code, log="client", **environment)
    assert client.wait(60)
    assert client.exit_code == 0, (sample.folder / "client.log").read_text()
