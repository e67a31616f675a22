"""Tasks through SQS, with real workers: sent small, run, given back, dead-lettered, never lost."""

import base64
import itertools
import json
import signal
import threading
import time
from typing import Any

import pytest
from celery import Celery
from celery_sqs._aws import queues
from celery_sqs.errors import MessageTooLarge


def raw_messages(sample: Any, queue: str) -> list[str]:
    url = queues.queue_url(sample.sqs, queue)
    got = sample.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1)
    return [message["Body"] for message in got.get("Messages", ())]


def send_raw(sample: Any, text: str) -> None:
    sample.sqs.send_message(QueueUrl=queues.queue_url(sample.sqs, sample.queue), MessageBody=text)


def test_a_task_travels_small_and_runs(sample: Any) -> None:
    result = sample.send("work", "one", reply_to="", expires=600)
    (text,) = raw_messages(sample, sample.queue)
    assert json.loads(text)["i"] == result.id
    assert len(text.encode()) < 260
    sample.start()
    sample.eventually(lambda: sample.notes("end", "one"), within=15)
    sample.eventually(sample.empty, within=15)


def test_too_large_is_never_sent(sample: Any) -> None:
    with pytest.raises(MessageTooLarge):
        sample.send("work", "x" * 1024)
    assert sample.empty()


def test_requeue_delay_grows_with_each_receive(sample: Any) -> None:
    sample.start()
    sample.send("hand_back", "x", 4)
    sample.eventually(lambda: len(sample.notes("try", "x")) == 4, within=30)
    tries = sample.notes("try", "x")
    assert [int(receives) for _, _, receives, _ in tries] == [1, 2, 3, 4]
    times = [float(when) for *_, when in tries]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for gap, least in zip(gaps, (1, 2, 4), strict=True):
        assert least - 0.2 <= gap < least + 3
    sample.eventually(sample.empty)
    assert sample.empty(sample.graveyard)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_requeued_twenty_times_it_still_runs(sample: Any) -> None:
    """Among others that end well: alone it would open the breaker, which waits between trials."""
    sample.start(SAMPLE_OPTIONS='{"backoff": [1, 1]}')
    sample.send("hand_back", "x", 21)
    for n in range(400):
        sample.send("work", n, 0.1)
    sample.eventually(lambda: len(sample.notes("try", "x")) == 21, within=200)
    sample.eventually(sample.empty, within=100)
    assert sample.empty(sample.graveyard)


def test_rejected_message_is_in_the_dead_letter_queue_unchanged(sample: Any) -> None:
    sample.send("dead_letter", "x")
    (sent,) = raw_messages(sample, sample.queue)
    sample.start()
    sample.eventually(lambda: sample.counts(sample.graveyard).visible == 1, within=20)
    assert raw_messages(sample, sample.graveyard) == [sent]
    sample.eventually(sample.empty)
    assert len(sample.notes("dead_letter")) == 1


@pytest.mark.parametrize("task", ["crash", "overrun"])
def test_what_its_child_could_not_finish_runs_again(sample: Any, task: str) -> None:
    worker = sample.start()
    sample.send(task, "x", 3)
    sample.eventually(lambda: len(sample.notes("try", "x")) == 3, within=45)
    sample.eventually(sample.empty)
    assert sample.empty(sample.graveyard)
    assert worker.child.exit_code is None
    sample.send("work", "after")
    sample.eventually(lambda: sample.notes("end", "after"))


def test_visibility_of_a_running_task_is_extended(sample: Any) -> None:
    sample.start()
    sample.start()
    sample.send("work", "long", 12)  # more than twice the visibility timeout
    sample.eventually(lambda: sample.notes("end", "long"), within=30)
    sample.eventually(sample.empty)
    assert len(sample.notes("begin", "long")) == 1


def test_beyond_its_bound_nothing_is_extended(sample: Any) -> None:
    sample.start(SAMPLE_OPTIONS='{"max_extension": 5}')
    sample.send("work", "stuck", 25)
    sample.eventually(lambda: sample.notes("begin", "stuck"))
    sample.eventually(lambda: sample.counts().visible == 1, within=15)


def test_messages_of_a_newer_release_wait_for_a_newer_worker(sample: Any) -> None:
    worker = sample.start()
    send_raw(sample, '{"celery-sqs":2,"something":"new"}')
    sample.eventually(lambda: "left to a newer worker" in worker.output)
    sample.send("work", "old")
    sample.eventually(lambda: sample.notes("end", "old"))
    sample.eventually(lambda: sample.counts().total == 1)
    assert sample.empty(sample.graveyard)


@pytest.mark.parametrize(
    "text", ["no json", '{"foreign":1}', base64.b64encode(b"\xff\xfe").decode()]
)
def test_damaged_message_goes_to_the_dead_letter_queue(sample: Any, text: str) -> None:
    worker = sample.start()
    send_raw(sample, text)
    sample.eventually(lambda: sample.counts(sample.graveyard).visible == 1, within=20)
    sample.send("work", "after")
    sample.eventually(lambda: sample.notes("end", "after"))
    assert worker.child.exit_code is None


def test_messages_of_a_stock_client_run(sample: Any, names: Any) -> None:
    """A rolling upgrade: clients are still on kombu's own transport."""
    sqs = sample.sqs
    url = queues.queue_url(sqs, sample.queue)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "4096"})
    stock = Celery("stock", set_as_current=False, broker="sqs://")
    options = {"predefined_queues": {sample.queue: {"url": url}}, "region": names.region}
    stock.conf.update(broker_transport_options=options, task_default_queue=sample.queue)
    stock.send_task("sample.work", ("stock",), queue=sample.queue)
    stock.close()
    sample.start()
    sample.eventually(lambda: sample.notes("end", "stock"), within=15)
    sample.eventually(sample.empty)


def test_a_child_sends_with_clients_of_its_own(sample: Any) -> None:
    sample.start("-c2")
    for n in range(10):
        sample.send("pass_on", n)
    sample.eventually(lambda: len(sample.notes("end")) == 10, within=20)
    sample.eventually(sample.empty)


def test_a_worker_of_two_queues_serves_both(sample: Any) -> None:
    other = f"{sample.queue}-b"
    queues.ensure_queue(sample.sqs, other, attributes={"VisibilityTimeout": "5"})
    sample.start("-Q", f"{sample.queue},{other}")
    for n in range(6):
        sample.send("work", n, 0.1, queue=(sample.queue, other)[n % 2])
    sample.eventually(lambda: len(sample.notes("end")) == 6, within=20)
    sample.eventually(lambda: sample.empty() and sample.empty(other))
    assert len(sample.notes("begin")) == 6


def test_a_task_for_later_is_held_until_its_time(sample: Any) -> None:
    sample.start()
    asked = time.time()
    sample.send("work", "later", countdown=7)
    sample.send("work", "now")
    sample.eventually(lambda: sample.notes("end", "now"), within=5)
    sample.eventually(lambda: sample.notes("end", "later"), within=20)
    assert float(sample.notes("end", "later")[0][3]) - asked >= 7
    assert len(sample.notes("begin", "later")) == 1


def test_a_broadcast_runs_on_every_worker(sample: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_BROADCAST", "1")
    first, second = sample.start(), sample.start()
    everybody = f"{sample.app.main}-everybody"
    sender = sample.python(
        f"queue = app.amqp.queues[{everybody!r}]\n"
        "app.tasks['sample.work'].apply_async(('x', 6), queue=queue, declare=[queue.exchange])"
    )
    sample.eventually(lambda: len(sample.notes("end", "x")) == 2, within=25)
    assert len(sample.notes("begin", "x")) == 2
    assert sender.exit_code == 0
    assert first.child.exit_code is second.child.exit_code is None


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_pools_without_processes(sample: Any, pool: str) -> None:
    worker = sample.start("-P", pool, "-c2")
    for n in range(6):
        sample.send("work", n, 0.05)
    sample.send("hand_back", "x", 2)
    sample.eventually(lambda: len(sample.notes("end")) == 6, within=20)
    sample.eventually(lambda: len(sample.notes("try", "x")) == 2, within=15)
    sample.eventually(sample.empty)
    worker.child.signal(signal.SIGTERM)
    sample.eventually(lambda: worker.child.exit_code == 0, within=20)


def test_the_commands_of_celery_work(sample: Any) -> None:
    worker = sample.start()
    status = sample.python("app.start(['status', '-t', '3'])", log="status")
    sample.eventually(lambda: status.exit_code == 0, within=30)
    assert f"{worker.name}: OK" in (sample.folder / "status.log").read_text()
    sample.app.control.cancel_consumer(sample.queue, reply=True)
    sample.send("work", "unwanted")
    purge = sample.python("app.start(['purge', '-f'])", log="purge")
    sample.eventually(lambda: purge.exit_code == 0, within=30)
    sample.eventually(sample.empty)
    assert not sample.notes()


def test_slots_do_not_idle(sample: Any) -> None:
    """Stock Celery looks once a second whether a full prefetch flow has room: 20 s for these."""
    sample.start()
    for n in range(20):
        sample.send("work", n, 0.05)
    sample.eventually(lambda: sample.notes("end", 19), within=30)
    ends = [float(line[3]) for line in sample.notes("end")]
    assert len(ends) == 20
    assert max(ends) - min(ends) < 8


def test_what_was_received_ahead_of_a_long_task_runs_elsewhere(sample: Any) -> None:
    """Short tasks are received ahead of a free slot; behind a long one they do not stay."""
    for n in range(60):
        sample.send("work", f"short-{n}")
    sample.send("work", "long", 6)
    for n in range(60, 90):
        sample.send("work", f"short-{n}")
    first = sample.start()
    sample.eventually(lambda: sample.notes("begin", "long"), within=30)
    sample.start()
    sample.eventually(lambda: len(sample.notes("end")) == 91, within=30)
    assert first.child.exit_code is None
    assert sample.notes("end")[-1][1] == "long"
    begun = [line[1] for line in sample.notes("begin")]
    assert len(begun) == len(set(begun))
    sample.eventually(sample.empty)


def test_sends_of_many_threads_share_calls(sample: Any) -> None:
    calls: list[Any] = []
    with sample.app.connection_for_write() as connection:
        events = connection.transport.session.sqs().meta.events
    events.register("before-call.sqs.SendMessageBatch", lambda model, **_: calls.append(model))
    threads = [threading.Thread(target=sample.send, args=("work", n)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sample.counts().visible == 60
    assert 0 < len(calls) < 40


def test_a_process_without_an_event_loop_consumes_too(sample: Any) -> None:
    sample.send("work", "x")
    with (
        sample.app.connection_for_read() as connection,
        connection.SimpleQueue(sample.queue) as box,
    ):
        message = box.get(timeout=5)
        assert message.headers["task"] == "sample.work"
        message.reject(requeue=True)
        message = box.get(timeout=10)
        assert message.headers["sqs_receive_count"] == 2
        message.ack()
    sample.eventually(sample.empty)
