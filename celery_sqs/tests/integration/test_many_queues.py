"""One worker on many queues: slots are reserved before polls, so nothing is handed back."""

import json
from typing import Any

import pytest
from celery_sqs._aws import queues


def make_queue(sample: Any, name: str, **attributes: str) -> str:
    dead = queues.queue_url(sample.sqs, sample.graveyard)
    redrive = {"deadLetterTargetArn": queues.queue_arn(sample.sqs, dead), "maxReceiveCount": 3}
    attributes["RedrivePolicy"] = json.dumps(redrive)
    return queues.ensure_queue(sample.sqs, name, attributes=attributes)


@pytest.mark.parametrize(("number", "each"), [(2, 30), (10, 6)])
def test_no_task_is_dead_lettered_unrun(sample: Any, proxy: Any, number: int, each: int) -> None:
    names = [f"{sample.queue}-{n}" for n in range(number)]
    for name in names:
        make_queue(sample, name)
        for n in range(each):
            sample.send("work", f"{name}/{n}", 0.1, queue=name)
    sample.start("-Q", ",".join(names), AWS_ENDPOINT_URL=proxy.url)
    sample.eventually(lambda: len(sample.notes("end")) == number * each, within=60)
    assert sample.empty(sample.graveyard)
    assert len(sample.notes("begin")) == number * each  # none twice
    assert proxy.calls["ReceiveMessage"] <= 2 * number * each


def test_queues_take_turns(sample: Any) -> None:
    names = [f"{sample.queue}-{n}" for n in "ab"]
    for name in names:
        make_queue(sample, name)
        for _ in range(10):
            sample.send("work", name[-1], 0.1, queue=name)
    sample.start("-Q", ",".join(names))
    sample.eventually(lambda: len(sample.notes("end")) == 20, within=30)
    order = [label for _, label, *_ in sample.notes("begin")]
    assert 3 <= order[:10].count("a") <= 7


def test_by_priority_the_first_queue_goes_first(sample: Any) -> None:
    names = [f"{sample.queue}-{n}" for n in "ab"]
    for name in names:
        make_queue(sample, name)
        for _ in range(10):
            sample.send("work", name[-1], 0.1, queue=name)
    options = json.dumps({"queue_order_strategy": "priority"})
    sample.start("-Q", ",".join(names), SAMPLE_OPTIONS=options)
    sample.eventually(lambda: len(sample.notes("end")) == 20, within=30)
    order = [label for _, label, *_ in sample.notes("begin")]
    assert order[:10].count("a") >= 8


def test_an_idle_queue_delays_no_busy_one(sample: Any) -> None:
    """Its long poll of 20 s must not keep the only slot."""
    names = [f"{sample.queue}-idle", f"{sample.queue}-busy"]
    for name in names:
        make_queue(sample, name)
    options = json.dumps({"wait_time_seconds": 20, "watchdog": 0})
    sample.start("-Q", ",".join(names), SAMPLE_OPTIONS=options)
    for n in range(5):
        sample.send("work", str(n), queue=names[1])
    sample.eventually(lambda: len(sample.notes("end")) == 5, within=10)


def test_the_queues_own_visibility_timeout_does_not_matter(sample: Any) -> None:
    """A task of 5 s on a queue of 2 s runs once: the option is passed with each receive."""
    url = queues.queue_url(sample.sqs, sample.queue)
    sample.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "2"})
    for name in ("a@h", "b@h"):
        sample.start(name=name, SAMPLE_OPTIONS='{"visibility_timeout": 30}')
    sample.send("work", "long", 5)
    sample.eventually(lambda: sample.notes("end", "long"), within=20)
    assert len(sample.notes("begin", "long")) == 1
