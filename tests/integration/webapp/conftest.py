"""A web tier and workers as they run: each in its own process, on the embedded AWS."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3

from facerec_tasks.settings import Settings
from local.processes.child import Child
from local.processes.ports import free_port

QUICK_WORKER = Path(__file__).with_name("quick_worker.py")


def photo(padding: int = 0, **wish: Any) -> bytes:
    """A photo the quick worker answers as wished: ``name``, ``outcome``, ``code``, ``seconds``."""
    return b"\xff\xd8\xff" + json.dumps(wish).encode() + b"\0" * padding


@dataclass
class Web:
    """One web process."""

    port: int
    child: Child
    http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=100, retries=False, timeout=60)
    )

    def request(self, method: str, path: str, **kwargs: Any) -> urllib3.BaseHTTPResponse:
        return self.http.request(method, f"http://127.0.0.1:{self.port}{path}", **kwargs)

    def post(
        self, data: bytes, name: str = "test_00.jpg", path: str = "/", **headers: str
    ) -> urllib3.BaseHTTPResponse:
        fields = {"inputFile": (name, data)}
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.request("POST", path, fields=fields, headers=named)

    def json(self, path: str) -> Any:
        return self.request("GET", path, headers={"Accept": "application/json"}).json()

    @property
    def alive(self) -> bool:
        try:
            return self.request("GET", "/healthz", timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False


@pytest.fixture
def start_web(
    resources: Settings, spawn: Callable[..., Child], eventually: Callable[..., None]
) -> Iterator[Callable[..., Web]]:
    """``start_web(FACEREC_MAX_WAITING="5")``: a web process that answers."""
    started: list[Web] = []

    def start(**environment: str) -> Web:
        port = free_port()
        web = Web(
            port,
            spawn(
                [sys.executable, "-m", "webapp"],
                log=f"web-{port}",
                environment={
                    "PORT": str(port),
                    "FACEREC_ADMIN_PORT": str(free_port()),
                    **environment,
                },
            ),
        )
        started.append(web)
        eventually(lambda: web.alive, within=60)
        return web

    yield start
    for web in started:
        web.http.clear()


@pytest.fixture
def start_worker(resources: Settings, spawn: Callable[..., Child]) -> Callable[..., Child]:
    """``start_worker("--concurrency", "2")``: a worker with the quick engine."""

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Child:
        command = [sys.executable, str(QUICK_WORKER), *arguments]
        return spawn(command, log="worker", environment=environment)

    return start
