"""A new image while photos flow: every machine ends on it, and nobody who waits notices."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import urllib3
from celery_sqs.testing import isolated

from autoscale.image import IMAGE
from celery_sqs import queues
from facerec_tasks.settings import Settings
from local.samples.portraits import sample_photo

CAP = 4
AT_ONCE, LOOK = 3, 2.0
"""People, and seconds each looks at an answer before the next photo: so few photos that their
machines leave room for a successor within the cap, without which a roll waits."""
System = Any
"""``System`` of conftest.py, which cannot be imported."""


class Senders:
    """People who send one photo after another, until they are told to stop."""

    def __init__(self, port: int) -> None:
        self._url, self._ended = f"http://127.0.0.1:{port}/", threading.Event()
        self._sample = sample_photo()
        self.wrong: list[str] = []
        self.answered = 0
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(AT_ONCE)]

    def __enter__(self) -> "Senders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        http, count = urllib3.PoolManager(retries=False, timeout=150), 0
        while not self._ended.is_set():
            count += 1
            stem = f"test_{number}_{count}"
            fields = {"inputFile": (f"{stem}.jpg", self._sample.data, "image/jpeg")}
            answer = http.request("POST", self._url, fields=fields)
            said = answer.data.decode().strip()
            if (answer.status, said) != (200, f"{stem}:{self._sample.name}"):
                self.wrong.append(f"{answer.status} {said}")
            self.answered += 1
            self._ended.wait(LOOK)


def members(ec2: Any) -> Iterator[dict[str, Any]]:
    """The machines of the fleet that are not terminated."""
    pages = ec2.describe_instances(Filters=[{"Name": "tag:facerec-fleet", "Values": ["facerec"]}])
    for instance in (i for r in pages["Reservations"] for i in r["Instances"]):
        if instance["State"]["Name"] not in ("terminated", "shutting-down"):
            yield instance


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_new_image_replaces_every_machine_and_loses_no_photo(
    start: Callable[..., System], monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    system = start(FACEREC_MAX_INSTANCES=str(CAP), FACEREC_SCALING_PROFILE="one-per-backlog")
    system.wait_ready()
    url = f"http://127.0.0.1:{system.aws_port}"
    for name, value in isolated(dict(os.environ), url).items():
        monkeypatch.setenv(name, value)
    ec2, sqs = (boto3.client(service, region_name="us-east-1") for service in ("ec2", "sqs"))
    (image,) = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [IMAGE]}])[
        "Images"
    ]
    with Senders(system.port) as senders:
        eventually(lambda: len([m for m in members(ec2) if m["State"]["Code"] == 16]) >= 1, 60)
        ec2.deregister_image(ImageId=image["ImageId"])  # as a bake does
        new = ec2.register_image(Name=IMAGE, Architecture="x86_64", RootDeviceName="/dev/xvda")
        before = senders.answered
        rolled = subprocess.run(
            [system.facerec, "fleet", "rollout", "--deadline", "5", "--json"],
            env=isolated(system.environment, url), capture_output=True, text=True, timeout=330,
            check=False,
        )  # fmt: skip
        assert rolled.returncode == 0, rolled.stderr
        assert senders.answered > before, "photos went on being answered"
    assert senders.wrong == []
    assert json.loads(rolled.stdout)["old"] == []
    assert {m["ImageId"] for m in members(ec2)} == {new["ImageId"]}
    settings = Settings()
    assert queues.counts(sqs, settings.dead_letter_queue).total == 0
    eventually(lambda: queues.counts(sqs, settings.request_queue).total == 0, within=30)
