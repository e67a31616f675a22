"""A burst of 100 photos to the whole system on this machine, from no machine at all."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
from celery_sqs.testing import isolated

from facerec_tasks.storage import layout
from local.processes.child import Child
from local.processes.ports import free_port
from local.processes.readiness import wait_until
from local.samples.portraits import portraits, sample_photo

PHOTOS = 100
PROFILES = ("one-per-backlog", "slo")
READY = 300.0
LOAD = 300.0
TO_ZERO = 150.0
"""Seconds that a part of the run may take."""
LOOK = 0.5
REGION = "us-east-1"
_FACEREC = str(Path(sys.executable).with_name("facerec"))
ID = "bench"


@dataclass(frozen=True)
class LiveBurst:
    """What one burst came to. Seconds."""

    profile: str
    photos: int
    answered: int
    correct: int
    seconds: float
    """From the first request to the last answer."""
    p50: float
    p99: float
    most_running: int
    most_live: int
    """Pending and running."""
    boot_first: float
    """From the burst to the first machine's worker that answered it."""
    task: float
    """Median seconds of recognition in a worker."""
    bound: float
    """First boot, and the work spread over all cores: no number of machines can be faster."""
    zero_after: float
    """From the last answer until no machine ran."""


class Watch(threading.Thread):
    """Counts machines by state twice a second."""

    def __init__(self, ec2: Any) -> None:
        super().__init__(name="watch", daemon=True)
        self._ec2 = ec2
        self.samples: list[tuple[float, int, int]] = []
        """(time, running, pending)"""
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(LOOK):
            self.samples.append(self.look())

    def look(self) -> tuple[float, int, int]:
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "tag:facerec-fleet", "Values": [ID]}]
        )
        states = [
            i["State"]["Name"]
            for page in pages
            for r in page["Reservations"]
            for i in r["Instances"]
        ]
        return time.time(), states.count("running"), states.count("pending")


def live_bursts(say: Callable[[str], None]) -> list[LiveBurst]:
    """One burst in each profile, each on a system of its own."""
    found = []
    for profile in PROFILES:
        say(f"live burst, profile {profile}: the whole system starts")
        with tempfile.TemporaryDirectory() as folder, _system(profile, Path(folder)) as web:
            found.append(_burst(profile, web, Path(folder)))
    return found


@contextmanager
def _system(profile: str, folder: Path) -> Iterator[str]:
    """``facerec up`` on ports and in a folder of its own; the address of its web tier."""
    web, aws = free_port(), free_port()
    environment = isolated(dict(os.environ), f"http://127.0.0.1:{aws}", REGION) | {
        "FACEREC_ID": ID,
        "FACEREC_STATE_DIR": str(folder / "state"),
        "FACEREC_LOCAL_AWS_PORT": str(aws),
        "FACEREC_FLOWER_PORT": str(free_port()),
        "FACEREC_SCALING_PROFILE": profile,
        "PORT": str(web),
    }
    log = folder / "up.log"
    with patch.dict(os.environ, environment, clear=True):
        child = Child((_FACEREC, "up"), log=log)
        try:
            _wait(lambda: log.exists() and "ready: " in log.read_text(), READY, "the system")
            yield f"http://127.0.0.1:{web}"
        finally:
            child.end(grace=15.0)


def _burst(profile: str, web: str, folder: Path) -> LiveBurst:
    watch = Watch(boto3.client("ec2", region_name=REGION))
    _wait(lambda: watch.look()[1:] == (0, 0), TO_ZERO, "the first photo's machine to stop")
    photos = folder / "photos"
    photos.mkdir()
    people, lines = [p.name for p in portraits()], ["Image,Results"]
    for n in range(PHOTOS):
        name = people[n % len(people)]
        (photos / f"test_{n:03d}.jpg").write_bytes(sample_photo(name).data)
        lines.append(f"test_{n:03d},{name}")
    predictions = folder / "predictions.csv"
    predictions.write_text("\n".join(lines) + "\n")
    watch.start()
    began = time.time()
    load = subprocess.run(
        [_FACEREC, "load", "--json", "--num_request", str(PHOTOS),
         "--url", web, "--image_folder", str(photos), "--prediction_file", str(predictions)],
        capture_output=True, text=True, timeout=LOAD, check=False,
    )  # fmt: skip
    ended = time.time()
    report = json.loads(load.stdout)
    _wait(lambda: watch.look()[1:] == (0, 0), TO_ZERO, "the machines to stop")
    zero = time.time()
    watch.ended.set()
    watch.join()
    tasks = sorted(_recognitions(began))
    task = statistics.median(seconds for _, seconds in tasks)
    first = tasks[0][0] - began
    return LiveBurst(
        profile=profile,
        photos=PHOTOS,
        answered=int(report["completed"]),
        correct=int(report["correct"]),
        seconds=round(ended - began, 1),
        p50=report["percentiles"]["p50"],
        p99=report["percentiles"]["p99"],
        most_running=max(r for _, r, _ in watch.samples),
        most_live=max(r + p for _, r, p in watch.samples),
        boot_first=round(first, 1),
        task=task,
        bound=round(first + PHOTOS * task / (os.cpu_count() or 1), 1),
        zero_after=round(zero - ended, 1),
    )


def _recognitions(since: float) -> list[tuple[float, float]]:
    """(finished at, seconds of recognition) of the records written since then."""
    s3 = boto3.client("s3", region_name=REGION)
    bucket = f"{ID}-state-bucket"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=layout.RESULTS)
    records = [
        json.load(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"])
        for page in pages
        for found in page.get("Contents", ())
    ]
    return [(r["finished_at"], r["seconds"]) for r in records if r.get("finished_at", 0) >= since]


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    if not wait_until(condition, seconds, every=LOOK):
        raise TimeoutError(f"waited {seconds:.0f} s for {what}")
