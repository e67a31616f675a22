"""Stopping a worker loses nothing, repeats nothing, and hands over at once."""

import random
import signal
import time
from collections import Counter
from typing import Any

import pytest


def ends(sample: Any) -> Counter[str]:
    return Counter(label for _, label, *_ in sample.notes("end"))


def test_what_has_not_started_is_handed_over_at_once(sample: Any) -> None:
    first = sample.start("-c1", "--prefetch-multiplier", "4")
    sample.send("work", "running", 8)
    sample.eventually(lambda: sample.notes("begin", "running"))
    for n in range(3):
        sample.send("work", n)
    sample.eventually(lambda: sample.counts().in_flight == 4)
    second = sample.start()
    assert not ends(sample)
    told = time.time()
    first.child.signal(signal.SIGTERM)
    sample.eventually(lambda: len(sample.notes("end")) == 3, within=5)
    assert max(float(line[3]) for line in sample.notes("end")) - told < 2
    sample.eventually(lambda: ends(sample)["running"], within=15)  # by the first, as it began
    sample.eventually(lambda: first.child.exit_code is not None, within=10)
    assert first.child.exit_code == 0
    sample.eventually(sample.empty)
    assert set(Counter(line[1] for line in sample.notes("begin")).values()) == {1}
    assert second.child.exit_code is None


def test_what_its_open_poll_still_brings_is_released(sample: Any) -> None:
    """A worker that is stopping must not take a message and keep it hidden."""
    first = sample.start(SAMPLE_OPTIONS='{"wait_time_seconds": 8, "visibility_timeout": 60}')
    sample.sqs.set_queue_attributes(
        QueueUrl=sample.sqs.get_queue_url(QueueName=sample.queue)["QueueUrl"],
        Attributes={"VisibilityTimeout": "60"},
    )
    first.child.signal(signal.SIGTERM)
    sample.eventually(lambda: "messages requeued" in first.output)
    sample.send("work", "late")
    sample.eventually(lambda: first.child.exit_code is not None, within=15)
    assert sample.counts().visible == 1
    assert not sample.notes()


def test_a_second_sigterm_requeues_what_runs(sample: Any) -> None:
    first = sample.start()
    sample.send("work", "long", 30)
    sample.eventually(lambda: sample.notes("begin", "long"))
    first.child.signal(signal.SIGTERM)
    sample.eventually(lambda: "Warm shutdown" in first.output)
    first.child.signal(signal.SIGQUIT)  # the cold shutdown: nobody waits 30 s for this task
    sample.eventually(lambda: first.child.exit_code is not None, within=15)
    sample.start()
    sample.eventually(lambda: len(sample.notes("begin", "long")) == 2, within=15)


def test_soft_shutdown_requeues_the_running_task(sample: Any) -> None:
    """``worker_soft_shutdown_timeout`` with ``REMAP_SIGTERM=SIGQUIT``: bounded patience."""
    first = sample.start(
        REMAP_SIGTERM="SIGQUIT", SAMPLE_SETTINGS='{"worker_soft_shutdown_timeout": 2}'
    )
    sample.send("work", "long", 30)
    sample.send("work", "next")
    sample.eventually(lambda: sample.notes("begin", "long"))
    sample.start()
    sample.eventually(lambda: sample.notes("end", "next"), within=15)
    told = time.time()
    first.child.signal(signal.SIGTERM)
    sample.eventually(lambda: len(sample.notes("begin", "long")) == 2, within=10)
    assert time.time() - told < 8
    sample.eventually(lambda: first.child.exit_code is not None, within=10)


def test_a_task_that_ends_at_sigterm_is_not_requeued(sample: Any) -> None:
    """Both reach the event loop in one turn: it must delete the message before it stops."""
    first = sample.start()
    sample.send("work", "ending", 0.5)
    sample.eventually(lambda: sample.notes("begin", "ending"))
    first.child.signal(signal.SIGSTOP)
    first.child.signal(signal.SIGTERM)  # waits, as what the task's process reports does
    sample.start()
    sample.eventually(lambda: sample.notes("end", "ending"))
    first.child.signal(signal.SIGCONT)
    sample.eventually(lambda: first.child.exit_code is not None, within=15)
    sample.eventually(sample.empty)
    assert len(sample.notes("begin", "ending")) == 1


def test_stopping_workers_under_load(sample: Any) -> None:
    """Workers come and go while 200 tasks run: each runs once."""
    total = 200
    for n in range(total):
        sample.send("work", n, 0.06)
    worker = sample.start("-c2")
    for _ in range(2):
        sample.eventually(lambda: sample.notes("end"))
        following = sample.start("-c2")
        worker.child.signal(signal.SIGTERM)
        worker = following
    sample.eventually(lambda: len(ends(sample)) == total, within=60)
    sample.eventually(sample.empty, within=20)
    assert sample.empty(sample.graveyard)
    assert set(ends(sample).values()) == {1}


@pytest.mark.soak
@pytest.mark.timeout(1700)
def test_a_thousand_messages_requeued_at_shutdown(sample: Any) -> None:
    """Workers are told to stop at random moments until a thousand messages went back."""
    total, chance = 1000, random.Random(3)
    for n in range(total):
        sample.send("work", n, 0.02)
    returned = 0
    while returned < 1000 and len(ends(sample)) < total:
        worker = sample.start("-c2", "--prefetch-multiplier", "20")
        time.sleep(chance.uniform(0.05, 0.4))
        worker.child.signal(signal.SIGTERM)
        assert worker.child.wait(25), worker.output
        said = next(line for line in worker.output.splitlines() if "messages requeued" in line)
        returned += int(said.split("]")[1].split()[0])
    sample.start("-c4")
    sample.eventually(lambda: len(ends(sample)) == total, within=300)
    sample.eventually(sample.empty, within=30)
    assert sample.empty(sample.graveyard)
    assert set(ends(sample).values()) == {1}


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_hundred_replaced_children(sample: Any) -> None:
    """Children are forked from a parent with threads and open connections: none may hang."""
    worker = sample.start("-c2", "--max-tasks-per-child", "1")
    for n in range(200):
        sample.send("pass_on", n)
    sample.eventually(lambda: len(ends(sample)) == 200, within=400)
    sample.eventually(sample.empty, within=30)
    assert worker.child.exit_code is None
    assert set(ends(sample).values()) == {1}
