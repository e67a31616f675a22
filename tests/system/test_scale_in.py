"""Machines taken away at random while photos flow: nothing is lost, nothing is done twice."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import urllib3
from celery_sqs.testing import isolated

from celery_sqs import queues
from facerec_tasks.settings import Settings
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket
from local.samples.portraits import sample_photo

PHOTOS = 1000
AT_ONCE = 40
System = Any
"""``System`` of conftest.py, which cannot be imported."""


def stop_at_random(ec2: Any, ended: threading.Event, stopped: Counter[str]) -> None:
    rng = random.Random(1)
    while not ended.wait(rng.uniform(2.0, 8.0)):
        pages = ec2.describe_instances(
            Filters=[{"Name": "instance-state-name", "Values": ["running"]},
                     {"Name": "tag:Name", "Values": ["app-tier-instance-*"]}]
        )  # fmt: skip
        running = [i["InstanceId"] for r in pages["Reservations"] for i in r["Instances"]]
        if running:
            victim = rng.choice(running)
            act = rng.choice((ec2.stop_instances, ec2.terminate_instances))
            act(InstanceIds=[victim])
            stopped[victim] += 1


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_thousand_photos_under_random_scale_in(
    start: Callable[..., System], monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    system = start(FACEREC_MAX_INSTANCES="4", FACEREC_SCALING_PROFILE="one-per-backlog")
    system.wait_ready()
    url = f"http://127.0.0.1:{system.aws_port}"
    for name, value in isolated(dict(os.environ), url).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    http = urllib3.PoolManager(maxsize=AT_ONCE, retries=False, timeout=150)
    sample = sample_photo()

    def post(number: int) -> str:
        for _ in range(20):
            answer = http.request(
                "POST",
                f"http://127.0.0.1:{system.port}/",
                fields={"inputFile": (f"test_{number:04d}.jpg", sample.data, "image/jpeg")},
            )
            if answer.status != 503:  # full: theirs to try again
                break
            time.sleep(1)
        return f"{answer.status} {answer.data.decode().strip()}"

    ended, stopped = threading.Event(), Counter[str]()
    ec2 = boto3.client("ec2", region_name="us-east-1")
    scale_in = threading.Thread(target=stop_at_random, args=(ec2, ended, stopped))
    scale_in.start()
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(post, range(PHOTOS)))
    finally:
        ended.set()
        scale_in.join()
    assert sum(stopped.values()) >= 10
    expected = [f"200 test_{n:04d}:{sample.name}" for n in range(PHOTOS)]
    assert [a for a, e in zip(answers, expected, strict=True) if a != e] == []
    storage = StateBucket(settings)
    records = Counter(
        Results(storage).get(entry.name.removeprefix("results/").removesuffix(".json")).key  # type: ignore[union-attr]
        for entry in storage.list("results/")
    )
    assert {k: n for k, n in records.items() if k.startswith("test_") and n > 1} == {}
    assert sum(k.startswith("test_") for k in records) == PHOTOS
    sqs = boto3.client("sqs", region_name="us-east-1")
    assert queues.counts(sqs, settings.dead_letter_queue).total == 0
    eventually(lambda: queues.counts(sqs, settings.request_queue).total == 0, within=60)
