"""Processes killed at random while photos flow: nothing accepted is lost, every answer is right."""

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import urllib3
from celery_sqs.testing import isolated

from celery_sqs import queues
from facerec_tasks import aws
from facerec_tasks.settings import Settings
from facerec_tasks.storage.results import Results
from facerec_tasks.storage.state_bucket import StateBucket
from local.samples.portraits import portraits, sample_photo

System = Any
"""``System`` of conftest.py, which cannot be imported."""
VICTIMS = (
    "-m webapp", "autoscale.controller", "local.processes.worker_host",
    "facerec_tasks.worker", "facerec_tasks.worker",
)  # fmt: skip
CLIENTS = 8


class Clients:
    """People who post photos of two persons, all named ``photo.jpg``, until told to stop."""

    def __init__(self, url: str) -> None:
        self.tally: Counter[str] = Counter()
        self._url = url
        self._stopped = threading.Event()
        self._probes = [sample_photo(portrait.name) for portrait in portraits()]
        self._threads = [threading.Thread(target=self._post, args=(i,)) for i in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _post(self, number: int) -> None:
        sample = self._probes[number % len(self._probes)]
        while not self._stopped.is_set():
            try:
                answer = urllib3.request(
                    "POST",
                    self._url,
                    fields={"inputFile": ("photo.jpg", sample.data, "image/jpeg")},
                    timeout=150,
                    retries=False,
                )
            except urllib3.exceptions.HTTPError:
                self.tally["no answer"] += 1  # the web tier was killed: theirs to try again
                time.sleep(0.2)
                continue
            text = answer.data.decode().strip()
            right = text == f"photo:{sample.name}" or answer.status in (503, 504)
            self.tally[str(answer.status) if right else f"WRONG {text}"] += 1

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(160)


def kill_at_random(system: System, chance: random.Random, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(chance.uniform(0.5, 4))
        victims = sorted(system.processes(chance.choice(VICTIMS)))
        if victims:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(victims), chance.choice([signal.SIGKILL, signal.SIGTERM]))


def accepted_by(system: System) -> set[str]:
    """Ids of the tasks that the web tier has sent."""
    web_log = (system.folder / "state" / "logs" / "web.log").read_text()
    return set(re.findall(r" accepted ([0-9a-f-]{36})", web_log))


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_accepted_is_lost_and_no_answer_is_wrong(
    start: Callable[..., System],
    eventually: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    system = start()
    system.wait_ready()
    first_photo = accepted_by(system)  # which is purged again, its result with it
    for name, value in isolated(os.environ, f"http://127.0.0.1:{system.aws_port}").items():
        monkeypatch.setenv(name, value)
    settings = Settings()

    clients = Clients(f"http://127.0.0.1:{system.port}/")
    try:
        kill_at_random(system, random.Random(seed), seconds=60)
    finally:
        clients.stop()
    assert clients.tally["200"] > 0
    assert not [seen for seen in clients.tally if seen.startswith("WRONG")]

    sqs = aws.client(settings, "sqs")
    eventually(lambda: queues.counts(sqs, settings.request_queue).total == 0, within=180)
    assert queues.counts(sqs, settings.dead_letter_queue).total == 0
    accepted = accepted_by(system) - first_photo
    results = Results(StateBucket(settings))
    assert accepted
    assert {task for task in accepted if results.get(task) is None} == set()
