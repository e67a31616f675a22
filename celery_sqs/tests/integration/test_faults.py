"""Whatever AWS, the network or an operator does to a worker: it lives, and no task is lost."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from celery_sqs._aws import queues
from celery_sqs.testing import fault_proxy as faults


def labels(sample: Any) -> set[str]:
    return {line[1] for line in sample.notes("end")}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_no_kind_of_failed_poll_ends_or_freezes_a_worker(sample: Any, proxy: Any) -> None:
    """Stock Celery: exit 1 or never polling again, at the first of these."""
    worker = sample.start(AWS_ENDPOINT_URL=proxy.url)
    for fault in faults.FAULTS:
        proxy.rule = faults.often(1, fault, actions="ReceiveMessage")
        before = proxy.spoiled[fault]
        sample.eventually(lambda: proxy.spoiled[fault] >= before + 4, within=20)  # noqa: B023
        proxy.rule = lambda action: None
        sample.send("work", fault)
        sample.eventually(lambda: fault in labels(sample), within=25)  # noqa: B023
    assert worker.child.exit_code is None
    assert sample.app.control.inspect([worker.name], timeout=10).ping()


def test_a_tenth_of_all_answers_spoiled(sample: Any, proxy: Any) -> None:
    proxy.rule = faults.often(0.1, *faults.FAULTS, "late")
    worker = sample.start("-c2", AWS_ENDPOINT_URL=proxy.url)
    for n in range(100):
        sample.send("work", n, 0.02)
    sample.eventually(lambda: len(labels(sample)) == 100, within=120)
    proxy.rule = lambda action: None
    sample.eventually(sample.empty, within=40)
    assert sample.empty(sample.graveyard)
    assert worker.child.exit_code is None
    assert sum(proxy.spoiled.values()) >= 3


def test_an_outage_while_it_works(sample: Any, proxy: Any) -> None:
    worker = sample.start(AWS_ENDPOINT_URL=proxy.url)
    sample.send("work", "during", 4)
    sample.eventually(lambda: sample.notes("begin", "during"))
    proxy.stop()
    sample.send("work", "after")
    sample.eventually(lambda: sample.notes("end", "during"))
    time.sleep(6)  # the outage outlasts several attempts to poll and to delete
    proxy.start()
    sample.eventually(lambda: "after" in labels(sample), within=30)
    sample.eventually(sample.empty, within=30)
    assert worker.child.exit_code is None


def test_a_worker_that_starts_during_an_outage(sample: Any, proxy: Any) -> None:
    proxy.rule = lambda action: "unavailable"
    sample.send("work", "x")
    log = sample.folder / "early.log"
    child = sample.spawn(
        ["python", "-m", "celery", "-A", "sample_app", "worker", "-c1", "--loglevel", "INFO"],
        log="early",
        environment={"AWS_ENDPOINT_URL": proxy.url, "PATH": _path()},
    )
    sample.eventually(lambda: "Cannot connect" in log.read_text(), within=30)
    proxy.rule = lambda action: "expired"
    sample.eventually(lambda: "ExpiredToken" in log.read_text(), within=40)
    proxy.rule = lambda action: "garbage" if action == "CreateTopic" else None
    sample.eventually(lambda: "unintelligible" in log.read_text(), within=40)
    proxy.rule = lambda action: None
    sample.eventually(lambda: "x" in labels(sample), within=60)
    assert child.exit_code is None


def _path() -> str:
    import sys

    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_a_deleted_control_queue_may_not_be_made_at_once(sample: Any, proxy: Any) -> None:
    """AWS refuses a deleted name for 60 s; meanwhile the worker works, afterwards it obeys."""
    worker = sample.start(AWS_ENDPOINT_URL=proxy.url)
    control = [u for u in queues.queue_urls(sample.sqs, sample.app.main) if "pidbox" in u]
    everything = set(queues.queue_urls(sample.sqs, sample.app.main))
    proxy.rule = lambda action: "too soon" if action == "CreateQueue" else None
    sample.sqs.delete_queue(QueueUrl=control[0])
    sample.eventually(lambda: proxy.spoiled["too soon"] >= 3, within=20)
    sample.send("work", "meanwhile")
    sample.eventually(lambda: "meanwhile" in labels(sample))
    proxy.rule = lambda action: None
    sample.eventually(
        lambda: set(queues.queue_urls(sample.sqs, sample.app.main)) == everything, within=20
    )
    sample.eventually(
        lambda: sample.app.control.inspect([worker.name], timeout=2).ping(), within=20
    )


def test_a_killed_worker_loses_nothing_and_leaves_no_children(sample: Any) -> None:
    first = sample.start("-c2")
    sample.send("work", "a", 3)
    sample.send("work", "b", 3)
    sample.eventually(lambda: len(sample.notes("begin")) == 2)
    children = [int(line[3]) for line in sample.notes("begin")]
    os.kill(first.child.pid, signal.SIGKILL)  # the parent alone
    sample.start("-c2")
    sample.eventually(lambda: labels(sample) == {"a", "b"}, within=30)
    sample.eventually(sample.empty, within=20)
    sample.eventually(lambda: not any(map(alive, children)), within=20)


def test_a_worker_frozen_past_its_visibility(sample: Any) -> None:
    """As when a machine is suspended: others take over, and the thawed one does no harm."""
    frozen = sample.start(SAMPLE_OPTIONS='{"watchdog": 3}')
    sample.send("work", "x", 4)
    sample.eventually(lambda: sample.notes("begin", "x"))
    frozen.child.signal(signal.SIGSTOP)
    for line in sample.notes("begin"):
        os.kill(int(line[3]), signal.SIGSTOP)
    stopped = [int(line[3]) for line in sample.notes("begin")]
    second = sample.start()
    sample.eventually(lambda: "x" in labels(sample), within=30)
    frozen.child.signal(signal.SIGCONT)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    for n in range(6):
        sample.send("work", n, 0.2)
    sample.eventually(lambda: len(labels(sample)) == 7, within=30)
    sample.eventually(sample.empty, within=30)
    assert frozen.child.exit_code is None
    assert second.child.exit_code is None


def test_idempotency_of_a_task_delivered_twice_and_out_of_order(sample: Any) -> None:
    worker = sample.start("-c2")
    for n in (3, 1, 2, 1, 3):
        sample.send("work", n, 0.3, task_id=f"id-{n}")
    sample.eventually(lambda: len(sample.notes("end")) == 5, within=20)
    sample.eventually(sample.empty)
    assert worker.child.exit_code is None


def test_a_stuck_receiver_ends_its_worker(sample: Any, proxy: Any) -> None:
    """A poll that is never answered would end by its own timeout; a dead thread would not."""
    worker = sample.start(
        AWS_ENDPOINT_URL=proxy.url, SAMPLE_OPTIONS='{"watchdog": 4, "wait_time_seconds": 1}'
    )
    proxy.rule = faults.often(1, "silent", actions="ReceiveMessage")
    sample.eventually(lambda: worker.child.exit_code is not None, within=30)
    assert worker.child.exit_code == 70
    assert "ending this worker" in worker.output


def test_a_clock_that_is_wrong(sample: Any) -> None:
    worker = sample.start(SAMPLE_CLOCK="7200")
    assert sample.app.control.inspect([worker.name], timeout=10).ping()
    sample.send("hand_back", "x", 2)
    sample.eventually(lambda: len(sample.notes("try", "x")) == 2, within=15)
    sample.eventually(sample.empty)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_polls_that_are_never_answered(sample: Any, proxy: Any) -> None:
    """Sockets that stay open and say nothing, as behind a dying load balancer."""
    worker = sample.start(AWS_ENDPOINT_URL=proxy.url)
    proxy.rule = faults.often(1, "silent", actions="ReceiveMessage")
    sample.eventually(lambda: proxy.spoiled["silent"] >= 2, within=30)
    proxy.rule = lambda action: None
    sample.send("work", "x")
    sample.eventually(lambda: "x" in labels(sample), within=60)
    assert worker.child.exit_code is None


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_twenty_seconds_without_aws_and_a_thousand_tasks(sample: Any, proxy: Any) -> None:
    proxy.rule = faults.often(0.1, *faults.FAULTS, "late")
    workers = [sample.start("-c2", AWS_ENDPOINT_URL=proxy.url) for _ in range(2)]
    for n in range(1000):
        sample.send("work", n, 0.02)
    sample.eventually(lambda: len(labels(sample)) > 100, within=120)
    proxy.stop()
    time.sleep(20)
    proxy.start()
    sample.eventually(lambda: len(labels(sample)) == 1000, within=400)
    proxy.rule = lambda action: None
    sample.eventually(sample.empty, within=90)
    assert sample.empty(sample.graveyard)
    assert [worker.child.exit_code for worker in workers] == [None, None]
