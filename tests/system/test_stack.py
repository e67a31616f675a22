"""A whole system that runs elsewhere, such as in the containers of docker-compose.test.yml.

``FACEREC_TEST_STACK`` is the URL of its web tier, ``FACEREC_TEST_FLOWER`` of its Flower, with user
and password, and ``FACEREC_TEST_ENDPOINT`` of its AWS. Nobody else may use it meanwhile.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
import urllib3
from celery_sqs.testing import isolated

from autoscale.fleet import Ec2Fleet
from celery_sqs import queues
from facerec_tasks.settings import Settings
from local.samples.portraits import sample_photo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WEB = os.environ.get("FACEREC_TEST_STACK", "")
FLOWER = os.environ.get("FACEREC_TEST_FLOWER", "")
ENDPOINT = os.environ.get("FACEREC_TEST_ENDPOINT", "")
CAP = 4
"""``FACEREC_MAX_INSTANCES`` of the stack."""
PHOTOS = 40
SLOW = 120.0
"""Seconds that a slow machine may take for anything."""
Wait = Callable[..., None]

pytestmark = pytest.mark.skipif(not WEB, reason="no stack is given by FACEREC_TEST_STACK")
http = urllib3.PoolManager(maxsize=PHOTOS, retries=False, timeout=SLOW)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the stack."""
    for name, value in isolated({}, ENDPOINT).items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.fixture
def s3(stack: Settings) -> "S3Client":
    return boto3.client("s3", endpoint_url=ENDPOINT, region_name=stack.region)


class Machines:
    """The stack's app-tier machines, looked at all the time."""

    def __init__(self, settings: Settings) -> None:
        self._fleet = Ec2Fleet(settings)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        self.most = 0

    @property
    def live(self) -> int:
        return sum(machine.live for machine in self._fleet.describe())

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self.most = max(self.most, self.live)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def machines(stack: Settings) -> Iterator[Machines]:
    watched = Machines(stack)
    yield watched
    watched.end()


def post(name: str, data: bytes) -> str:
    answer = http.request("POST", f"{WEB}/", fields={"inputFile": (name, data, "image/jpeg")})
    return f"{answer.status} {answer.data.decode().strip()}"


def flower(path: str) -> Any:
    parts = urlsplit(FLOWER)
    url = f"{parts.scheme}://{parts.hostname}:{parts.port}{path}"
    headers = urllib3.make_headers(basic_auth=f"{parts.username}:{parts.password}")
    return http.request("GET", url, headers=headers).json()


@pytest.mark.timeout(4 * SLOW)
def test_a_burst_is_named_by_machines_that_come_and_go(
    stack: Settings, s3: "S3Client", machines: Machines, eventually: Wait
) -> None:
    eventually(lambda: machines.live == 0, within=SLOW)
    sample = sample_photo()
    names = [f"burst_{number:02d}" for number in range(PHOTOS)]
    with ThreadPoolExecutor(PHOTOS) as pool:
        answers = list(pool.map(lambda name: post(f"{name}.jpg", sample.data), names))
    assert answers == [f"200 {name}:{sample.name}" for name in names]
    assert 1 <= machines.most <= CAP

    for name in names:
        photo = s3.get_object(Bucket=stack.in_bucket, Key=f"{name}.jpg")["Body"].read()
        assert photo == sample.data
        written = s3.get_object(Bucket=stack.out_bucket, Key=name)["Body"].read()
        assert written.decode() == sample.name
    eventually(lambda: len(recognized()) >= PHOTOS, within=SLOW)
    # One that booted before the controller named it has no number.
    assert all(re.fullmatch(r"app-tier-instance(-\d+)?@i-\w+", each) for each in recognized())

    eventually(lambda: machines.live == 0, within=SLOW)
    sqs = boto3.client("sqs", endpoint_url=ENDPOINT, region_name=stack.region)
    assert queues.counts(sqs, stack.request_queue).total == 0
    assert queues.counts(sqs, stack.dead_letter_queue).total == 0


def recognized() -> list[str]:
    """The worker of each photo that Flower saw done."""
    tasks = flower("/api/tasks?state=SUCCESS").values()
    return [t["worker"] for t in tasks if t["name"] == "facerec_tasks.tasks.recognize"]


def test_non_picture_is_refused_and_not_stored(stack: Settings, s3: "S3Client") -> None:
    stem = f"refused_{time.time_ns()}"
    assert post(f"{stem}.jpg", b"GIF89a, or so it says").startswith("4")
    assert post(f"{stem}.jpg", sample_photo().data[:2000]).startswith("422")
    kept = s3.list_objects_v2(Bucket=stack.out_bucket, Prefix=stem)
    assert kept["KeyCount"] == 0


def test_the_pages_are_there(stack: Settings) -> None:
    for page in ("/", "/who", "/status", "/privacy"):
        answer = http.request("GET", f"{WEB}{page}", headers={"Accept": "text/html"})
        assert answer.status == 200
        assert "<html" in answer.data.decode()


def test_flower_requires_its_password() -> None:
    parts = urlsplit(FLOWER)
    answer = http.request("GET", f"{parts.scheme}://{parts.hostname}:{parts.port}/api/workers")
    assert answer.status == 401
