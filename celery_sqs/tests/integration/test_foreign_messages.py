"""Messages that nobody here has written never stop a worker, and are not lost."""

import json
from typing import Any

import pytest
from celery_sqs._aws import queues

EVENT = json.dumps({"v": "2.0", "event": "order.created"})
TASK = {"task": "sample.work", "id": "x", "argsrepr": "", "kwargsrepr": ""}


def envelope(**change: Any) -> str:
    sound = {
        "body": '[["x"], {}, {}]', "content-type": "application/json", "content-encoding": "utf-8",
        "headers": TASK, "properties": {"delivery_info": {}, "correlation_id": "x"},
    }  # fmt: skip
    return json.dumps(sound | change)


DAMAGED = [
    EVENT,
    envelope(properties=[]), envelope(properties=None), envelope(headers=[1]), envelope(body=7),
    envelope(headers=TASK | {"timelimit": ["x", None]}),
    envelope(headers=TASK | {"eta": "soon"}),
    envelope(headers=TASK | {"task": "sample.nothing"}),
    envelope(**{"content-type": "application/x-python-serialize"}),
    '{"celery-sqs":1,"t":"sample.work","i":{},"a":[]}',
]  # fmt: skip


def send_raw(sample: Any, *texts: str) -> None:
    url = queues.queue_url(sample.sqs, sample.queue)
    for text in texts:
        sample.sqs.send_message(QueueUrl=url, MessageBody=text)


def test_foreign_events_open_no_circuit_breaker(sample: Any) -> None:
    send_raw(sample, EVENT, EVENT, EVENT)
    worker = sample.start("-c2")
    for n in range(10):
        sample.send("work", str(n))
    sample.eventually(lambda: len(sample.notes("end")) == 10, within=20)
    assert "unhealthy" not in worker.output
    sample.eventually(lambda: sample.counts(sample.graveyard).visible == 3, within=30)


def test_damaged_messages_are_dead_lettered_and_end_nothing(sample: Any) -> None:
    send_raw(sample, *DAMAGED)
    worker = sample.start(SAMPLE_OPTIONS=json.dumps({"unreadable_receives": 2}))
    sample.eventually(lambda: sample.counts(sample.graveyard).visible == len(DAMAGED), within=40)
    sample.send("work", "after")
    sample.eventually(lambda: sample.notes("end", "after"))
    assert worker.child.exit_code is None
    assert "unhealthy" not in worker.output
    assert "Unrecoverable" not in worker.output


def test_a_hook_turns_foreign_messages_into_tasks(sample: Any) -> None:
    sample.start(SAMPLE_OPTIONS=json.dumps({"decode_foreign": "sample_app:decode_order"}))
    send_raw(sample, json.dumps({"order": "first"}), "unknown even to the hook")
    sample.eventually(lambda: sample.notes("end", "first"))
    sample.eventually(lambda: sample.counts(sample.graveyard).visible == 1, within=20)
    sample.eventually(sample.empty, within=15)


@pytest.mark.parametrize("dead_letters", [True, False])
def test_a_rejected_message_is_never_deleted(sample: Any, dead_letters: bool) -> None:
    url = queues.queue_url(sample.sqs, sample.queue)
    if not dead_letters:
        sample.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    worker = sample.start()
    sample.send("dead_letter", "poison")
    sample.eventually(lambda: sample.notes("dead_letter", "poison"))
    if dead_letters:
        sample.eventually(lambda: sample.counts(sample.graveyard).visible == 1)
    else:
        sample.eventually(lambda: "stays in it" in worker.output)
        assert sample.counts().total == 1
