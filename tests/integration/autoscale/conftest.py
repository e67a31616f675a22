"""A controller in its own process, an EC2 that is watched, a web tier that says what it is told."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from autoscale.fleet import Ec2Fleet
from autoscale.model import Machine
from facerec_tasks.errors import AwsError
from facerec_tasks.settings import Settings
from local.processes.child import Child
from tests.answering import Silent, serving


@dataclass
class WebTier:
    """What the web tier shall say."""

    url: str = ""
    accepted: int = 0
    outstanding: int = 0
    started_at: float = field(default_factory=lambda: time.time() - 1e6)

    def body(self) -> bytes:
        entry = {
            "process": "web-0", "epoch": str(self.started_at), "started_at": self.started_at,
            "accepted": self.accepted, "answered": self.accepted - self.outstanding,
            "outstanding": self.outstanding, "oldest_accepted_at": None,
        }  # fmt: skip
        return json.dumps({"processes": [entry], "outstanding": self.outstanding}).encode()

    def burst(self, photos: int) -> None:
        self.accepted, self.outstanding = self.accepted + photos, self.outstanding + photos


@pytest.fixture
def web_tier() -> Iterator[WebTier]:
    told = WebTier()

    class Handler(Silent):
        def do_GET(self) -> None:
            self.answer(200, told.body())

    with serving(Handler) as told.url:
        yield told


class Watched:
    """The machines as they are, asked for all the time, past every proxy."""

    def __init__(self, settings: Settings) -> None:
        self._fleet = Ec2Fleet(settings)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most_live = 0
        self._thread.start()

    def machines(self) -> list[Machine]:
        return self._fleet.describe()

    @property
    def live(self) -> int:
        return sum(m.live for m in self.machines())

    @property
    def named(self) -> list[int]:
        return sorted(m.number for m in self.machines() if m.live and m.number)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            try:
                self.most_live = max(self.most_live, self.live)
            except AwsError:
                continue

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def watched(resources: Settings) -> Iterator[Watched]:
    found = Watched(resources)
    yield found
    found.end()


@pytest.fixture
def controller(
    resources: Settings, spawn: Callable[..., Child], web_tier: WebTier
) -> Callable[..., Child]:
    """``controller("--dry-run", FACEREC_MACHINE="b")``: one in its own process."""

    def start(*arguments: str, **environment: str) -> Child:
        told = {
            "FACEREC_WEB_URLS": json.dumps([web_tier.url]),
            "FACEREC_SCALING_PROFILE": "one-per-backlog",
        }
        return spawn(
            [sys.executable, "-m", "autoscale.controller", *arguments],
            log="controller",
            environment=told | environment,
        )

    return start
