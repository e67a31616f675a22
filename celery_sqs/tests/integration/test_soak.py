"""Long runs under kills: what was sent is executed, and a chord's body is right.

``SOAK_SECONDS`` is how long tasks are sent, 600 unless it says otherwise; ``SOAK_PARTS`` how many a
chord has, 1,000.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from celery import chord
from celery_sqs._aws import queues
from kombu.exceptions import OperationalError

import celery_sqs

pytestmark = pytest.mark.soak
SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
PARTS = int(os.environ.get("SOAK_PARTS", "1000"))
QUEUES = 50
WORKERS = 3
LARGE = 262_144


class Chaos:
    """Kills workers and their children again and again; a worker that ends is replaced."""

    def __init__(self, start: Callable[[], Any], workers: int, *, every: float) -> None:
        self._start = start
        self._every = every
        self._chance = random.Random(7)
        self._ended = threading.Event()
        self.workers = [start() for _ in range(workers)]
        self.done = dict.fromkeys(("child", "parent", "warm", "twice"), 0)

    def _children(self, pid: int) -> list[int]:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def strike(self) -> None:
        """One of: a child killed, a parent killed, SIGTERM, SIGTERM twice."""
        kind = self._chance.choice(list(self.done))
        place = self._chance.randrange(len(self.workers))
        worker = self.workers[place]
        with suppress(OSError):  # it has ended by itself
            if kind == "child":
                children = self._children(worker.child.pid)
                if children:
                    os.kill(self._chance.choice(children), signal.SIGKILL)
            elif kind == "parent":
                worker.child.signal(signal.SIGKILL)
            else:
                worker.child.signal(signal.SIGTERM)
            if kind == "twice":
                time.sleep(0.3)
                worker.child.signal(signal.SIGTERM)
        self.done[kind] += 1
        if kind != "child":
            self.workers[place] = self._start()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self.strike()


def send_until_acknowledged(sample: Any, label: str, queue: str) -> None:
    while True:
        try:
            sample.send("work", label, 0.02, queue=queue)
        except OperationalError:
            time.sleep(0.5)
        else:
            return


@pytest.mark.timeout(SECONDS + 900)
def test_what_is_sent_is_executed(sample: Any, proxy: Any) -> None:
    """50 queues; kill -9 of parents and children, SIGTERM once and twice, AWS away for 5 s."""
    options = {"wait_time_seconds": 5, "endpoint_url": proxy.url}
    sample.app.conf.broker_transport_options |= options
    names = [f"{sample.queue}-{n}" for n in range(QUEUES)]
    for name in names:  # made with their dead-letter queues
        send_until_acknowledged(sample, f"{name}/first", name)

    def start() -> Any:
        return sample.start("-c2", "-Q", ",".join(names), SAMPLE_OPTIONS=json.dumps(options))

    sent = {f"{name}/first" for name in names}
    chaos = Chaos(start, WORKERS, every=4.0)
    with chaos.going_on():
        began = time.monotonic()
        away = began + 30
        while time.monotonic() < began + SECONDS:
            name = names[len(sent) % QUEUES]
            label = f"{name}/{len(sent)}"
            send_until_acknowledged(sample, label, name)
            sent.add(label)
            time.sleep(0.03)
            if time.monotonic() > away:
                proxy.stop()
                time.sleep(5)
                proxy.start()
                away = time.monotonic() + 60
    print(f"{len(sent)} tasks to {QUEUES} queues; {chaos.done}; calls {sum(proxy.calls.values())}")

    def executed() -> set[str]:
        return {label for _, label, *_ in sample.notes("end")}

    sample.eventually(lambda: executed() >= sent, within=300, every=1.0)
    assert executed() == sent
    sample.eventually(lambda: all(map(sample.empty, names)), within=120, every=2.0)
    assert all(sample.empty(f"{name}-dlq") for name in names)
    assert min(chaos.done.values()) > 0 or SECONDS < 300
    runs = len(sample.notes("end"))
    print(f"{runs} runs of {len(sent)} tasks")


@pytest.fixture(params=["file", "s3", "dynamodb"])
def chords(
    request: pytest.FixtureRequest, names: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The sample application with a result store."""
    settings: dict[str, str] = {}
    if request.param == "s3":
        boto3.client("s3", region_name=names.region).create_bucket(Bucket=names.id)
        settings = {"s3_bucket": names.id, "s3_region": names.region}
    (tmp_path / "store").mkdir()
    url = {"file": f"file://{tmp_path / 'store'}", "s3": "s3"}.get(
        request.param, f"dynamodb://@{names.region}/{names.id}"
    )
    monkeypatch.setenv("SAMPLE_STORE", url)
    monkeypatch.setenv("SAMPLE_ANSWERS", "1")
    monkeypatch.setenv("SAMPLE_SETTINGS", json.dumps(settings))
    monkeypatch.setenv("SAMPLE_OPTIONS", json.dumps({"max_message_size": LARGE}))
    sample = request.getfixturevalue("sample")
    queue = queues.queue_url(sample.sqs, sample.queue)
    sample.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": str(LARGE)})
    return sample


def deliver_twice(sample: Any) -> int:
    """Puts a copy of every message of the queue beside it; returns how many there were."""
    url = queues.queue_url(sample.sqs, sample.queue)
    bodies: list[str] = []
    while True:
        answer = sample.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=3600
        )
        messages = answer.get("Messages", [])
        if not messages:
            break
        bodies += [message["Body"] for message in messages]
    sample.sqs.purge_queue(QueueUrl=url)
    for first in range(0, len(bodies), 5):
        copies = bodies[first : first + 5] * 2
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(copies)]
        assert not sample.sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")
    return len(bodies)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("killing", [False, True], ids=["calm", "killing"])
def test_idempotency_of_a_chord_of_a_thousand_parts(chords: Any, killing: bool) -> None:
    parts = [chords.app.signature("sample.add", (n, 1)) for n in range(PARTS)]
    with celery_sqs.bulk(chords.app):
        result = chord(parts, chords.app.signature("sample.total")).delay()
    assert deliver_twice(chords) == PARTS
    began = time.monotonic()
    chaos = Chaos(lambda: chords.start("-c2"), 2, every=5.0 if killing else 1e6)
    with chaos.going_on():
        assert result.get(timeout=900) == sum(n + 1 for n in range(PARTS))
    print(f"{time.monotonic() - began:.0f} s, {chaos.done}")
    chords.eventually(chords.empty, within=180, every=1.0)
    bodies = chords.notes("total")
    assert {task_id for _, task_id in bodies} == {result.id}
    if not killing:
        assert len(bodies) == 1
