"""What the pipeline benchmark makes of what it measured."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from celery_sqs.testing import emulated_aws

from benchmarks import prices
from benchmarks.contender import OURS, REDIS, STOCK, TUNED
from benchmarks.counting_proxy import counting_proxy, name_of
from benchmarks.emulator import logged_calls
from benchmarks.pipeline import Run, figures, report, table
from benchmarks.pipeline_client import LOOP
from benchmarks.processor_time import tree_seconds
from benchmarks.rest import Rest, Resting


def run(milliseconds: float, **calls: int) -> Run:
    latencies = tuple(milliseconds / 1000 for _ in range(100))
    return Run(latencies, 1.0, 0.1, Counter({f"sqs.{kind}": n for kind, n in calls.items()}))


@pytest.fixture
def runs() -> dict[str, dict[str, Run]]:
    return {
        "single": {
            LOOP: run(10.0, SendMessageBatch=200),
            OURS: run(11.0, SendMessage=100, ReceiveMessage=300),
            STOCK: run(500.0),
            TUNED: run(100.0),
        },
        "burst": {
            LOOP: run(50.0),
            OURS: run(200.0, SendMessage=100, ReceiveMessage=80),
            STOCK: run(4000.0),
            TUNED: run(2000.0),
        },
    }


@pytest.fixture
def rest() -> Rest:
    system = Resting(Counter({"sqs.ReceiveMessage": 6, "s3.PutObject": 6}), 120.0)
    worker = Resting(Counter({"sqs.ReceiveMessage": 12}), 120.0)
    return Rest("some emulator", system, worker, worker)


def test_figures_are_what_their_names_say(runs: dict[str, dict[str, Run]], rest: Rest) -> None:
    assert figures(runs, rest) == pytest.approx(
        {
            "latency_vs_boto3_loop": 1.1,  # ours / theirs
            "burst_p95_vs_stock_best": 10.0,  # the better of theirs / ours
            "sqs_calls_per_task_single": 4.0,
            "sqs_calls_per_task_burst": 1.8,
            "rest_calls_per_day": 8640.0,
        }
    )


def test_redis_is_compared_where_it_ran(runs: dict[str, dict[str, Run]], rest: Rest) -> None:
    assert not any("redis" in name for name in figures(runs, rest))
    runs["burst"][OURS] = Run((0.2,) * 50, 1.0, 0.05, Counter(), worker_cpu_seconds=0.08)
    runs["burst"][REDIS] = Run((0.25,) * 50, 1.0, 0.2, Counter(), worker_cpu_seconds=0.1)
    found = {name: value for name, value in figures(runs, rest).items() if "redis" in name}
    assert found == pytest.approx(
        {"worker_cpu_vs_redis": 0.8, "client_cpu_vs_redis": 0.25, "burst_p95_vs_redis": 0.8}
    )


BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"


def test_processor_time_is_that_of_the_whole_tree() -> None:
    """The parent sleeps; its child, and a grandchild that has ended, each used 0.3 s."""
    child = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}], input=b'x')\n"
    )
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child + BUSY!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as tree:
        assert tree.stdout is not None
        for _ in range(2):
            tree.stdout.readline()
        spent = tree_seconds([tree.pid])
        tree.communicate(b"x")
    assert 0.6 <= spent < 2.0
    assert tree_seconds([tree.pid]) == 0.0
    assert tree_seconds([os.getpid()]) > 0.0


def test_the_report_is_json_and_names_the_emulator(
    runs: dict[str, dict[str, Run]], rest: Rest
) -> None:
    found = report("some emulator", runs, rest)
    assert json.loads(json.dumps(found)) == found
    assert found["emulator"] == "some emulator"
    assert found["runs"]["single"][OURS]["p50_ms"] == 11.0
    assert "| this layer | 11.0 |" in table(found)


def test_turns_add_up() -> None:
    both = run(10.0, SendMessage=100).plus(run(20.0, SendMessage=300))
    assert (both.tasks, both.seconds, both.sqs_calls_per_task()) == (200, 2.0, 2.0)
    assert both.percentile(95) == 0.02


def test_what_a_worker_adds_is_what_was_not_there_without_it() -> None:
    before = Resting(Counter({"sqs.ReceiveMessage": 6, "s3.PutObject": 6}), 60.0)
    after = Resting(Counter({"sqs.ReceiveMessage": 12, "s3.PutObject": 5}), 60.0)
    assert after.without(before).calls == {"sqs.ReceiveMessage": 6}


def test_prices_are_those_of_the_list() -> None:
    million = 1e6
    assert prices.dollars({"sqs.SendMessage": million}) == pytest.approx(0.40)
    assert prices.dollars({"sns.PublishBatch": million}) == pytest.approx(0.50)
    assert prices.dollars({"s3.PutObject": million}) == pytest.approx(5.0)
    assert prices.dollars({"s3.HeadObject": million}) == pytest.approx(0.40)
    assert prices.dollars({"s3.DeleteObject": million, "ec2.DescribeInstances": million}) == 0


def test_calls_are_read_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("12:00 INFO localstack.request.aws : AWS sqs.SendMessage => 200\n")
    assert logged_calls(log) == {"sqs.SendMessage": 1}
    with log.open("a") as more:
        more.write("INFO : AWS sqs.ReceiveMessage => 200\nREADY\nINFO : AWS s3.PutObject => 503\n")
    assert logged_calls(log).total() == 3


@pytest.mark.parametrize(
    ("service", "command", "path", "headers", "body", "name"),
    [
        ("sqs", "POST", "/", {"X-Amz-Target": "AmazonSQS.SendMessageBatch"}, b"{}",
         "sqs.SendMessageBatch"),
        ("ec2", "POST", "/", {}, b"Action=DescribeInstances&Version=1", "ec2.DescribeInstances"),
        ("s3", "PUT", "/bucket/key?x", {}, b"data", "s3.PutObject"),
        ("s3", "GET", "/bucket?list-type=2", {}, b"", "s3.ListObjects"),
    ],
)  # fmt: skip
def test_the_proxy_tells_calls_apart(
    service: str, command: str, path: str, headers: dict[str, str], body: bytes, name: str
) -> None:
    signed = f"AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{service}/aws4_request, y"
    request = SimpleNamespace(
        command=command, path=path, headers={"Authorization": signed, **headers}
    )
    assert name_of(request, body) == name  # type: ignore[arg-type]


def test_the_proxy_counts_what_it_passes_on() -> None:
    with emulated_aws() as upstream, counting_proxy(upstream) as proxy:
        sqs = boto3.client(
            "sqs", region_name="us-east-1", endpoint_url=proxy.url,
            aws_access_key_id="x", aws_secret_access_key="x",
        )  # fmt: skip
        sqs.list_queues()
        assert proxy.counted == {"sqs.ListQueues": 1}
