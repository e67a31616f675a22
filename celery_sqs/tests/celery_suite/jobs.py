"""What is run: one process of pytest for each file, broker and shard, with servers of its own.

A process for each file, because some of Celery's tests leave the process changed: after its
``test_worker`` every ``get()`` of the same process raises "Never call result.get() within a task".
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from celery_suite.servers import HOST, aws_server, redis_server

REDIS, SQS = "redis", "sqs"
BROKERS = (REDIS, SQS)
TEST_TIMEOUT = 180
"""Seconds a test may take; some take 80."""
JOB_TIMEOUT = 3600.0
TRANSPORT = "celery_sqs:Transport"
BACKEND = "celery_sqs:ResponseQueueBackend"
BUCKET = "suite-results"
RESPONSE_QUEUE = "suite-results"
STORES: dict[str, dict[str, str]] = {
    "dynamodb": {"result_store": "dynamodb://@us-east-1/suite"},
    "s3": {"result_store": "s3"},
    "none": {},
}
"""Of ``--store``: options of the result backend."""
FOREIGN = ("AWS_", "CELERY_", "FACEREC_", "PYTHONPATH", "TEST_")
"""Variables that would change what is tested."""
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Suite:
    """One file of tests."""

    name: str
    project: str
    file: str
    """In ``t/integration``, on every broker unless ``files`` says otherwise."""
    shards: int = 1
    redis_file: str = ""
    redis_options: tuple[str, ...] = ()

    def file_on(self, broker: str) -> str:
        return self.redis_file if broker == REDIS and self.redis_file else self.file


COMMON = "BasicFunctionality or BaseExchangeTypes or Message or Priority or EventLoop"
SUITES = (
    Suite("celery inspect", "celery", "test_inspect.py"),
    Suite("celery tasks", "celery", "test_tasks.py", shards=2),
    Suite("celery canvas", "celery", "test_canvas.py", shards=4),
    Suite("celery worker", "celery", "test_worker.py"),
    Suite("celery beat", "celery", "test_beat.py"),
    Suite("celery group chains", "celery", "test_group_chains.py"),
    Suite("celery serialization", "celery", "test_serialization.py"),
    Suite("celery memory", "celery", "test_mem_leak_in_exception_handling.py"),
    Suite(
        "kombu common", "kombu", "test_celery_sqs.py",
        redis_file="test_redis.py", redis_options=("-k", COMMON),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One process of pytest."""

    suite: Suite
    broker: str
    shard: int = 1
    select: str = ""
    """As pytest's ``-k``."""
    store: str = "dynamodb"
    only: tuple[str, ...] = ()
    """These tests alone, by their ids; for a second try."""

    @property
    def name(self) -> str:
        again = "-again" if self.only else ""
        return f"{self.suite.name.replace(' ', '-')}-{self.broker}-{self.shard}{again}"


@dataclass
class Outcome:
    """What became of one test."""

    test: str
    outcome: str
    """``passed``, ``failed``, ``skipped`` or ``xfailed``."""
    reason: str = ""


@dataclass
class Outcomes:
    """What became of one job's tests; ``error`` is why the process did not end as it should."""

    job: Job
    tests: list[Outcome] = field(default_factory=list)
    error: str = ""


def run(job: Job, tests: Path, logs: Path) -> Outcomes:
    """Runs a job to its end. ``tests``: folder that has ``t/``."""
    with tempfile.TemporaryDirectory(prefix="celery-suite-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        shutil.copytree(tests, folder / "suite")
        if job.suite.project == "kombu":
            shutil.copy(HERE / "kombu_on_sqs.py", folder / "suite/t/integration/test_celery_sqs.py")
        redis = stack.enter_context(redis_server(folder))
        aws = stack.enter_context(aws_server(folder)) if job.broker == SQS else None
        if aws is not None:
            _create_bucket(aws)
        if job.suite.project == "celery":
            settings = _settings(job, redis, folder)
            (folder / "suite/integration-tests-config.json").write_text(json.dumps(settings))
            _write_module(folder / "suite/celeryconfig.py", settings)
        outcomes = folder / "outcomes"
        environment = _environment(job, redis, aws, outcomes)
        error = _pytest(job, folder / "suite", environment, logs / f"{job.name}.log")
        return Outcomes(job, _read(outcomes), error)


def _settings(job: Job, redis: int, folder: Path) -> dict[str, object]:
    if job.broker == REDIS:
        return {
            "broker_url": f"redis://{HOST}:{redis}/0",
            "result_backend": f"redis://{HOST}:{redis}/1",
        }
    return {
        "broker_url": "sqs://",
        "broker_transport": TRANSPORT,
        "broker_transport_options": {
            "region": "us-east-1",
            "wait_time_seconds": 1,
            "namespace": "celery",  # tests make applications of other names, or of none
        },
        "result_backend": BACKEND,
        "result_backend_transport_options": {
            "region": "us-east-1",
            "response_queue": RESPONSE_QUEUE,
            "state_dir": str(folder / "state"),
            "wait_time_seconds": 1,
            **STORES[job.store],
        },
        "s3_bucket": BUCKET,
        "s3_region": "us-east-1",
    }


def _create_bucket(aws: int) -> None:
    client = boto3.client(
        "s3", endpoint_url=f"http://{HOST}:{aws}", region_name="us-east-1",
        aws_access_key_id="suite", aws_secret_access_key="suite",
    )  # fmt: skip
    client.create_bucket(Bucket=BUCKET)


def _write_module(path: Path, settings: Mapping[str, object]) -> None:
    """For applications that tests make themselves, with a broker URL and nothing more."""
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))


def _environment(job: Job, redis: int, aws: int | None, outcomes: Path) -> dict[str, str]:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CELERY_", "FACEREC_"))
    }
    made = kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(HERE.parent),
        "REDIS_HOST": HOST, "REDIS_PORT": str(redis), "REDIS_6379_TCP": str(redis),
        "CELERY_SUITE_OUTCOMES": str(outcomes),
        "CELERY_SUITE_SHARD": "1/1" if job.only else f"{job.shard}/{job.suite.shards}",
    }  # fmt: skip
    if job.broker == REDIS:
        return made | {
            "TEST_BROKER": f"redis://{HOST}:{redis}/0",
            "TEST_BACKEND": f"redis://{HOST}:{redis}/1",
        }
    return made | {
        "TEST_BROKER": "sqs://", "TEST_BACKEND": BACKEND,
        "CELERY_SUITE_SIDE_CHANNEL": "1", "CELERY_SUITE_TRANSPORT": TRANSPORT,
        "AWS_ENDPOINT_URL": f"http://{HOST}:{aws}", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "suite", "AWS_SECRET_ACCESS_KEY": "suite",
        "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip


def _pytest(job: Job, folder: Path, environment: dict[str, str], log: Path) -> str:
    """Runs pytest in a session of its own, so that no worker outlives it; returns what is wrong."""
    options = job.suite.redis_options if job.broker == REDIS else ()
    select = " and ".join(f"({k})" for k in (*options[1:], job.select) if k)
    command = [
        sys.executable, "-m", "pytest", "-p", "celery_suite.plugin", "-p", "no:cacheprovider",
        "-p", "celery.contrib.pytest", "--timeout", str(TEST_TIMEOUT), "-q", "-W", "ignore",
        "-o", "addopts=", "-o", "python_classes=test_*", "--durations", "20",
        *(job.only or (f"t/integration/{job.suite.file_on(job.broker)}",)),
        *(("-k", select) if select and not job.only else ()),
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(JOB_TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"not done within {JOB_TIMEOUT:.0f} s"
        finally:
            _end(process)
    return "" if code in (0, 1, 5) else f"pytest ended with {code}; see {log}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(outcomes: Path) -> list[Outcome]:
    if not outcomes.exists():
        return []
    return [Outcome(**json.loads(line)) for line in outcomes.read_text().splitlines()]
