"""The kinds of failure of a task, each with its one way: real worker processes, embedded AWS.

The quick worker's engine does as the photo says; everything around it is the product.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery_sqs.testing import fault_proxy as faults

from facerec_tasks import aws
from facerec_tasks.schemas import Answer
from facerec_tasks.settings import Settings
from facerec_tasks.storage.attempts import Attempts
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.results import Results
from local.processes.child import Child

QUICK_WORKER = Path(__file__).parents[1] / "webapp" / "quick_worker.py"
Eventually = Callable[..., None]

SEND = """
import sys
from facerec_tasks.tasks import recognize
sent = recognize.apply_async(sys.argv[1:3], task_id=sys.argv[3], headers={"request_id": "of-test"})
try:
    print(sent.get(timeout=float(sys.argv[4]))["outcome"])
except Exception as error:
    print(type(error).__name__)
"""


def task_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


class Bench:
    """Photos in, tasks out, and what is left behind."""

    def __init__(self, settings: Settings, spawn: Callable[..., Child], folder: Path) -> None:
        self.settings, self.spawn, self._folder = settings, spawn, folder
        self.storage = Storage(settings)

    def worker(self, *arguments: str, **environment: str) -> Child:
        command = [sys.executable, str(QUICK_WORKER), "--concurrency", "1", *arguments]
        return self.spawn(command, log=f"worker{len(arguments)}", environment=environment)

    def send(self, number: int, wait: float = 0.01, **wish: Any) -> Child:
        """Stores a photo and sends its task; the process prints the answer's outcome."""
        photo = b"\xff\xd8\xff" + json.dumps(wish).encode()
        version = self.storage.photos.put(f"test_{number}.jpg", photo, "image/jpeg")
        arguments = [f"test_{number}.jpg", version, task_id(number), str(wait)]
        return self.spawn([sys.executable, "-c", SEND, *arguments], log=f"send-{number}")

    def answer(self, number: int) -> Answer | None:
        return Results(self.storage.state).get(task_id(number))

    def starts(self, name: str) -> Path:
        return self._folder / name

    def waiting(self, queue: str) -> int:
        sqs = aws.client(self.settings, "sqs")
        attributes = sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], AttributeNames=["All"]
        )["Attributes"]
        kinds = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(attributes[kind]) for kind in kinds)

    def names_written(self, stem: str) -> int:
        listed = aws.client(self.settings, "s3").list_object_versions(
            Bucket=self.settings.out_bucket, Prefix=stem
        )
        return len(listed.get("Versions", ()))


@pytest.fixture(autouse=True)
def _quick_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the queues that are created and for the processes that are started."""
    monkeypatch.setenv("FACEREC_VISIBILITY_TIMEOUT", "3")
    monkeypatch.setenv("FACEREC_POLL_SECONDS", "1")
    monkeypatch.setenv("FACEREC_MAX_BACKOFF", "2")
    monkeypatch.setenv("FACEREC_TASK_TIME_LIMIT", "20")


@pytest.fixture
def bench(resources: Settings, spawn: Callable[..., Child], tmp_path: Path) -> Bench:
    return Bench(resources, spawn, tmp_path)


@pytest.mark.parametrize("fails", ["crash", "bug"])
def test_poison_task_is_dead_lettered_after_four_starts_and_answered(
    bench: Bench, eventually: Eventually, tmp_path: Path, fails: str
) -> None:
    starts = bench.starts("starts")
    client = bench.send(1, wait=100, starts=str(starts), fails=fails)
    bench.worker()
    eventually(lambda: bench.answer(1), within=90)
    poisoned = bench.answer(1)
    assert poisoned is not None
    assert (poisoned.outcome, poisoned.code) == ("poison", "poison")
    assert len(starts.read_text().splitlines()) == bench.settings.max_starts
    assert [start["receive"] for start in poisoned.history] == [2, 3, 4]
    assert client.wait(20)
    assert (tmp_path / "send-1.log").read_text().split()[-1] == "poison"
    eventually(lambda: bench.waiting(bench.settings.dead_letter_queue) == 1)
    eventually(lambda: bench.waiting(bench.settings.request_queue) == 0)
    assert bench.names_written("test_1") == 0

    bench.send(2, name="Paul")  # the worker has survived its poison
    eventually(lambda: bench.answer(2), within=30)


def test_aws_outage_counts_no_start_and_dead_letters_nothing(
    bench: Bench, eventually: Eventually, tmp_path: Path
) -> None:
    starts = bench.starts("starts")
    bench.send(1, starts=str(starts), fails="away", times=5, name="Paul")
    bench.worker()
    eventually(lambda: bench.answer(1), within=120)
    answer = bench.answer(1)
    assert answer is not None
    assert (answer.outcome, answer.name) == ("named", "Paul")
    assert len(starts.read_text().splitlines()) == 6  # more than would have poisoned it
    assert bench.waiting(bench.settings.dead_letter_queue) == 0
    eventually(lambda: not Attempts(bench.storage.state).starts(task_id(1)))
    log = tmp_path / "worker0.log"
    eventually(lambda: "healthy again" in log.read_text())
    assert "unhealthy: 3 tasks in a row" in log.read_text(), "it consumed nothing but trials"


def test_idempotency_of_a_task_that_runs_twice(bench: Bench, eventually: Eventually) -> None:
    starts = bench.starts("starts")
    bench.worker()
    bench.send(1, starts=str(starts), times=0, name="Paul")
    eventually(lambda: bench.waiting(bench.settings.request_queue) == 0 and bench.answer(1), 30)
    first = bench.answer(1)
    bench.send(1, starts=str(starts), times=0, name="Somebody else")  # the same task id
    eventually(lambda: len(starts.read_text().splitlines()) == 2, within=30)
    eventually(lambda: bench.waiting(bench.settings.request_queue) == 0)
    assert bench.answer(1) == first
    name = aws.client(bench.settings, "s3").get_object(
        Bucket=bench.settings.out_bucket, Key="test_1"
    )
    assert name["Body"].read() == b"Paul"


def test_kill_9_of_a_whole_worker_mid_task_loses_nothing(
    bench: Bench, eventually: Eventually
) -> None:
    starts = bench.starts("starts")
    worker = bench.worker()
    bench.send(1, starts=str(starts), times=0, seconds=4, name="Paul")
    eventually(starts.exists, within=30)
    worker.kill()
    assert bench.answer(1) is None
    bench.worker("--hostname", "second@test")
    eventually(lambda: bench.answer(1), within=60)
    eventually(lambda: bench.waiting(bench.settings.request_queue) == 0)
    assert len(starts.read_text().splitlines()) == 2
    assert bench.names_written("test_1") == 1


def test_a_killed_child_gives_its_task_back_at_once(bench: Bench, eventually: Eventually) -> None:
    starts = bench.starts("starts")
    bench.worker()
    client = bench.send(1, wait=60, starts=str(starts), times=0, seconds=1.5, name="Paul")
    eventually(starts.exists, within=30)
    os.kill(int(starts.read_text().split()[0]), signal.SIGKILL)
    assert client.wait(60)
    answer = bench.answer(1)
    assert answer is not None
    assert answer.name == "Paul"
    assert len(starts.read_text().splitlines()) == 2


def test_a_photo_that_is_gone_is_an_answer(bench: Bench, eventually: Eventually) -> None:
    bench.worker()
    bench.storage.photos.put("test_1.jpg", b"x", "image/jpeg")
    bench.spawn([sys.executable, "-c", SEND, "other.jpg", "no-version", task_id(1), "0.01"])
    eventually(lambda: bench.answer(1), within=30)
    answer = bench.answer(1)
    assert answer is not None
    assert (answer.outcome, answer.code) == ("rejected", "photo-gone")
    eventually(lambda: bench.waiting(bench.settings.request_queue) == 0)
    assert bench.waiting(bench.settings.dead_letter_queue) == 0


SEND_MANY = """
import json, sys
from facerec_tasks.tasks import recognize
sent = [recognize.apply_async(arguments, task_id=id) for *arguments, id in json.loads(sys.argv[1])]
print(*(each.get(timeout=400)["name"] for each in sent))
"""


@pytest.mark.parametrize(
    "seconds", [8, pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
def test_s3_failing_at_the_wire_while_sqs_works(
    bench: Bench, eventually: Eventually, proxy: Any, tmp_path: Path, seconds: float
) -> None:
    """The worker stops consuming, tries one at a time, and goes on: nothing lost, none poisoned."""
    worker = bench.worker("-c2", AWS_ENDPOINT_URL=proxy.url)
    log = tmp_path / "worker1.log"
    eventually(lambda: " ready" in log.read_text(), within=40)
    proxy.rule = faults.often(
        1, "throttled", "broken", "unavailable", "dropped", "cut", "expired", actions="s3.*"
    )
    photos = []
    for n in range(12):
        photo = b"\xff\xd8\xff" + json.dumps({"name": f"n{n}"}).encode()
        version = bench.storage.photos.put(f"test_{n:02}.jpg", photo, "image/jpeg")
        photos.append([f"test_{n:02}.jpg", version, task_id(n)])
    client = bench.spawn([sys.executable, "-c", SEND_MANY, json.dumps(photos)], log="many")
    eventually(lambda: "unhealthy" in log.read_text(), within=60)
    begun, polls = time.monotonic(), proxy.calls["ReceiveMessage"]
    eventually(lambda: time.monotonic() - begun > seconds, within=seconds + 5)
    assert proxy.calls["ReceiveMessage"] - polls < 12 + 2 * seconds  # of commands above all
    assert proxy.spoiled.total() >= 3
    assert bench.waiting(bench.settings.request_queue) == 12
    proxy.rule = lambda action: None
    assert client.wait(180)
    assert (tmp_path / "many.log").read_text().split() == [f"n{n}" for n in range(12)]
    assert "healthy again" in log.read_text()
    eventually(lambda: bench.waiting(bench.settings.request_queue) == 0, within=20)
    assert bench.waiting(bench.settings.dead_letter_queue) == 0
    assert worker.exit_code is None
    assert all(bench.names_written(f"test_{n:02}") for n in range(12))
