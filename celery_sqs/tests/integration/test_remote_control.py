"""Remote control, events and heartbeats over SNS, as Celery documents them for RabbitMQ."""

import json
import re
import subprocess
import sys
import threading
import time
from typing import Any

import boto3
import pytest
from celery_sqs._aws import queues
from celery_sqs._broker.auto_delete import TAG, VISIBILITY


def celery(*arguments: str) -> str:
    """What a ``celery`` command of another process prints."""
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "sample_app", *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def temporary_queues(sample: Any) -> list[str]:
    urls = queues.queue_urls(sample.sqs, sample.app.main)
    return [url for url in urls if TAG in queues.read_tags(sample.sqs, url)]


def processes(inspect: Any) -> int:
    """Children of the one worker this inspects."""
    (stats,) = inspect.stats().values()
    return len(stats["pool"]["processes"])


def subscriptions(names: Any, exchange: str) -> list[Any]:
    sns = boto3.client("sns", endpoint_url=names.endpoint_url, region_name=names.region)
    topic = sns.create_topic(Name=f"{names.id}-{exchange}")["TopicArn"]
    found: list[Any] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return found


def test_inspect_and_control(sample: Any) -> None:
    """Commands of this process; one worker for all of them, since each takes seconds to start."""
    first, second = sample.start(), sample.start()
    inspect = sample.app.control.inspect([first.name], timeout=5)
    took = []
    for _ in range(4):
        begin = time.monotonic()
        assert inspect.ping() == {first.name: {"ok": "pong"}}
        took.append(time.monotonic() - begin)
    assert min(took) < 0.5  # the best of some: this machine is busy

    everybody = sample.app.control.inspect(timeout=2).ping()
    assert everybody == {first.name: {"ok": "pong"}, second.name: {"ok": "pong"}}

    sample.send("work", "x", 3)
    sample.eventually(lambda: sample.notes("begin", "x"))
    active = sample.app.control.inspect(timeout=2).active()
    assert [task["args"] for tasks in active.values() for task in tasks] == [["x", 3]]

    stats = inspect.stats()[first.name]
    assert stats["pool"]["max-concurrency"] == 1
    assert stats["prefetch_count"] == 1

    control = sample.app.control
    control.pool_grow(2, destination=[first.name])
    sample.eventually(lambda: processes(inspect) == 3)
    control.pool_shrink(1, destination=[first.name])
    sample.eventually(lambda: processes(inspect) == 2)

    assert control.rate_limit("sample.work", "5/m", destination=[first.name], reply=True) == [
        {first.name: {"ok": "new rate limit set successfully"}}
    ]
    for worker in (first, second):
        control.cancel_consumer(sample.queue, destination=[worker.name], reply=True)
    sample.eventually(lambda: inspect.active_queues()[first.name] == [])
    sample.eventually(lambda: not sample.notes("begin", "y"), within=1.5)
    sample.send("work", "y")
    time.sleep(2)  # nobody consumes any more: the only way to see that is to look for a while
    assert not sample.notes("begin", "y")
    control.add_consumer(sample.queue, destination=[second.name], reply=True)
    sample.eventually(lambda: sample.notes("end", "y"), within=15)

    control.shutdown(destination=[first.name])
    sample.eventually(lambda: first.child.exit_code is not None, within=20)
    assert first.child.exit_code == 0
    assert sample.app.control.inspect(timeout=2).ping() == {second.name: {"ok": "pong"}}


def test_commands_of_another_process_leave_nothing_behind(sample: Any) -> None:
    worker = sample.start()
    printed = celery("inspect", "-d", worker.name, "-t", "5", "--json", "ping")
    assert json.loads(printed) == {worker.name: {"ok": "pong"}}
    left = temporary_queues(sample)
    assert len(left) == 1, left  # the worker's own


def reply_queues(sample: Any) -> list[str]:
    return [url for url in temporary_queues(sample) if "-reply-" in url]


def test_threads_may_ask_at_once_and_leave_their_queues_to_others(sample: Any) -> None:
    worker = sample.start()
    answers: list[Any] = []

    def ask() -> None:
        for _ in range(2):
            answers.append(sample.app.control.inspect([worker.name], timeout=8).ping())

    for _ in range(3):
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert answers == [{worker.name: {"ok": "pong"}}] * 36
    assert 1 <= len(reply_queues(sample)) <= 6


def test_a_late_reply_is_nobody_elses_and_a_deleted_queue_comes_back(sample: Any) -> None:
    worker = sample.start("-P", "solo")
    sample.send("work", "x", 2)  # a solo worker does not listen while it works
    sample.eventually(lambda: sample.notes("begin", "x"))
    assert not sample.app.control.inspect([worker.name], timeout=1).ping()
    sample.eventually(lambda: sample.notes("end", "x"))
    stats = sample.app.control.inspect([worker.name], timeout=8).stats()
    assert stats[worker.name]["pool"]["max-concurrency"] == 1
    assert not sample.app.control.mailbox.unclaimed
    (queue,) = reply_queues(sample)
    sample.sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(ConnectionError, match="ask again"):
        sample.app.control.inspect([worker.name], timeout=8).ping()
    assert sample.app.control.inspect([worker.name], timeout=8).ping()
    assert queue not in reply_queues(sample)


def test_events_reach_subscribers_and_cost_nothing_without(sample: Any, names: Any) -> None:
    worker = sample.start()
    sample.send("work", "unheard")
    sample.eventually(lambda: sample.notes("end", "unheard"))
    listener = sample.spawn(
        [sys.executable, "-u", "-m", "celery", "-A", "sample_app", "events", "--dump"],
        log="events",
    )
    seen = sample.folder / "events.log"

    def lines(kind: str) -> list[str]:
        return [line for line in seen.read_text().splitlines() if kind in line]

    sample.eventually(lambda: lines("heartbeat:"), within=20)
    sample.send("work", "has_subscribers")
    sample.eventually(lambda: lines("task succeeded"), within=15)
    (started,) = lines("task started")
    assert worker.name in started
    assert "args=('has_subscribers',)" in started
    assert len(subscriptions(names, "celeryev")) == 1
    listener.signal(2)
    sample.eventually(lambda: listener.exit_code is not None, within=30)
    sample.eventually(lambda: subscriptions(names, "celeryev") == [])
    assert len(temporary_queues(sample)) == 1


def test_a_worker_restarted_at_once_keeps_its_control_queue(sample: Any, names: Any) -> None:
    first = sample.start(name="same@host")
    before = temporary_queues(sample)
    first.child.kill()
    second = sample.start(name="same@host")
    assert temporary_queues(sample) == before
    assert len(subscriptions(names, "celery-pidbox")) == 1
    # SQS may put the command into the first worker's open poll: it is seen again a little later.
    pong = sample.app.control.inspect([second.name], timeout=2 * VISIBILITY).ping()
    assert pong == {second.name: {"ok": "pong"}}


def test_a_deleted_control_queue_comes_back(sample: Any) -> None:
    worker = sample.start()
    (url,) = temporary_queues(sample)
    sample.sqs.delete_queue(QueueUrl=url)
    sample.eventually(lambda: temporary_queues(sample) == [url], within=30)
    sample.eventually(
        lambda: sample.app.control.inspect([worker.name], timeout=2).ping(), within=20
    )


def test_an_old_command_is_not_obeyed(sample: Any) -> None:
    """A worker stopped by command must not be stopped by it again when it is back."""
    first = sample.start(name="same@host")
    first.child.kill()
    sample.app.control.shutdown(destination=["same@host"])
    time.sleep(1.1)  # the clock of AWS tells us whole seconds
    second = sample.start(name="same@host")
    assert sample.app.control.inspect([second.name], timeout=10).ping()  # so the old one was seen
    assert "shutdown" not in second.output


def test_heartbeats_are_rare(sample: Any) -> None:
    code = """
def on(event):
    note(event["type"], event.get("freq"))
with app.connection_for_read() as connection:
    receiver = app.events.Receiver(connection, handlers={"*": on})
    receiver.capture(limit=None, timeout=None, wakeup=True)
"""
    sample.start()
    sample.python(code)
    sample.eventually(lambda: sample.notes("worker-heartbeat", "30.0"), within=20)
    assert [line for line in sample.notes() if "heartbeat" not in line[0]] == []
    assert len(sample.notes("worker-heartbeat")) == 2  # the one asked for, and the true one


@pytest.mark.parametrize("name", ["w@" + "x" * 60 + ".example.internal"])
def test_long_names_fit(sample: Any, name: str) -> None:
    worker = sample.start(name=name)
    (url,) = temporary_queues(sample)
    assert sample.app.control.inspect([worker.name], timeout=5).ping()
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", url.rsplit("/", 1)[1])
