"""A sample application on a broker of its own, with workers in processes of their own."""

import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from celery import Celery
from celery_sqs._aws import queues

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HERE = Path(__file__).parent
READY = 30.0
"""Seconds a worker may take to start on a busy machine."""


@dataclass
class Worker:
    """A worker started with the ``celery`` command."""

    name: str
    child: Any
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def ready(self) -> bool:
        return f"{self.name} ready." in self.output


@dataclass
class Sample:
    """One test's application, queues and workers."""

    app: Celery
    queue: str
    graveyard: str
    sqs: "SQSClient"
    read_notes: Callable[[], list[list[str]]]
    spawn: Callable[..., Any]
    eventually: Callable[..., None]
    folder: Path
    workers: list[Worker] = field(default_factory=list)

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return self.app.tasks[f"sample.{task}"].apply_async(args, **options)

    def start(self, *arguments: str, name: str | None = None, **environment: str) -> Worker:
        """A worker that is ready; ``arguments`` go to ``celery worker``."""
        name = name or f"w{len(self.workers)}@{self.app.main}"
        log = f"worker-{len(self.workers)}"
        given = arguments if any(a.startswith("-c") for a in arguments) else ("-c1", *arguments)
        child = self.spawn(
            [sys.executable, "-m", "celery", "-A", "sample_app", "worker", "-n", name,
             "--loglevel", "INFO", *given],
            log=log,
            environment=environment,
        )  # fmt: skip
        worker = Worker(name, child, self.folder / f"{log}.log")
        self.workers.append(worker)
        self.eventually(lambda: worker.ready or child.exit_code is not None, within=READY)
        assert worker.ready, worker.output
        return worker

    def notes(self, *words: object) -> list[list[str]]:
        """Notes that begin with these words."""
        wanted = [str(word) for word in words]
        return [line for line in self.read_notes() if line[: len(wanted)] == wanted]

    def counts(self, queue: str | None = None) -> queues.Counts:
        return queues.counts(self.sqs, queue or self.queue)

    def empty(self, queue: str | None = None) -> bool:
        return self.counts(queue).total == 0

    def python(self, code: str, log: str = "python", **environment: str) -> Any:
        """Another process that has the application as ``app``."""
        return self.spawn(
            [sys.executable, "-c", f"from sample_app import *\n{code}"],
            log=log,
            environment=environment,
        )


@pytest.fixture
def sample(
    names: Any,
    spawn: Callable[..., Any],
    eventually: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Sample]:
    """The sample application; its queue and dead-letter queue exist."""
    monkeypatch.setenv("SAMPLE_NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(Path.cwd())]))
    spec = importlib.util.spec_from_file_location("sample_app", HERE / "sample_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sqs = boto3.client("sqs", endpoint_url=names.endpoint_url, region_name=names.region)
    queue, graveyard = names.request_queue, names.dead_letter_queue
    queues.ensure_request_queue(sqs, queue, graveyard, max_message_bytes=1024, visibility_timeout=5)
    made = Sample(
        module.app, queue, graveyard, sqs, module.notes, spawn, eventually, tmp_path
    )  # fmt: skip
    yield made
    module.app.close()
    for worker in made.workers:
        unexpected = re.findall(r".*(?:Unrecoverable|Traceback.*threading).*", worker.output)
        assert not unexpected, json.dumps(unexpected)
