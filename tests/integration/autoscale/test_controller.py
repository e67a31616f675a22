"""The controller as a process, on the embedded AWS."""

import itertools
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from autoscale import decisions
from autoscale.lease import DURATION
from cli.commands.fleet import fleet
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.layout import LEASE
from facerec_tasks.storage.state_bucket import StateBucket
from local.processes.child import Child

from .between import between
from .conftest import Watched, WebTier

SOAK = pytest.mark.soak

Start = Callable[..., Child]
Wait = Callable[..., None]


def command(*arguments: str) -> str:
    result = CliRunner().invoke(fleet, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_burst_from_zero_to_zero_is_logged(
    resources: Settings,
    controller: Start,
    web_tier: WebTier,
    watched: Watched,
    eventually: Wait,
) -> None:
    process = controller()
    web_tier.burst(100)
    eventually(lambda: watched.named == list(range(1, 16)), within=20)
    web_tier.outstanding = 0
    answered = time.monotonic()
    eventually(lambda: watched.live == 0, within=12)
    assert time.monotonic() - answered < 12
    assert watched.most_live == 15
    process.signal(signal.SIGTERM)
    assert process.wait(10)
    assert process.exit_code == 0

    kept = list(decisions.read(StateBucket(resources, layout.CONTROLLER)))
    assert sum(d.launch for d in kept) == 15
    assert sum(len(d.stop) for d in kept) == 15
    assert len({d.step for d in kept}) == len(kept)
    assert "Decided: launch" in command("explain")
    assert len(json.loads(command("status", "--json"))["machines"]) == 15
    assert "app-tier-instance-15" in command("status")
    report = json.loads(command("report", "--json"))
    assert (report["photos"], report["launches"], report["peak"]) == (100, 15, 15)
    assert "facerec_machines_cap 15" in command("metrics")
    replayed = json.loads(command("simulate", "--recorded", "--policy", "slo", "--json"))
    assert replayed[0]["tasks"] == 100


def test_queue_counts_alone_are_enough(
    resources: Settings, controller: Start, watched: Watched, eventually: Wait
) -> None:
    from facerec_tasks.aws import client

    sqs = client(resources, "sqs")
    url = sqs.get_queue_url(QueueName=resources.request_queue)["QueueUrl"]
    for n in range(10):
        sqs.send_message(QueueUrl=url, MessageBody=str(n))
    controller(FACEREC_WEB_URLS='["http://127.0.0.1:9"]')
    eventually(lambda: watched.live == 4, within=20)
    sqs.purge_queue(QueueUrl=url)
    eventually(lambda: watched.live == 0, within=20)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=SOAK), pytest.param(2, marks=SOAK)])
def test_controller_killed_repeatedly_doubles_no_launch(
    seed: int, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait
) -> None:
    rng = random.Random(seed)
    web_tier.burst(100)
    for _ in range(4):
        process = controller()
        time.sleep(rng.uniform(0.8, 3.0))  # not for luck: any moment will do
        process.signal(signal.SIGKILL)
        process.wait(5)
    controller()
    eventually(lambda: watched.named == list(range(1, 16)), within=20)
    assert len(watched.machines()) == 15
    assert watched.most_live == 15
    web_tier.outstanding = 0
    eventually(lambda: watched.live == 0, within=15)


def test_ec2_throttling_lost_responses_and_late_listings(
    private_endpoint: str,
    resources: Settings,
    controller: Start,
    web_tier: WebTier,
    watched: Watched,
    eventually: Wait,
) -> None:
    rng, changes = random.Random(7), itertools.count()

    def rule(action: str) -> str | None:
        chance = rng.random()
        if action == "DescribeInstances" and chance < 0.4:
            return "late"
        if action in ("RunInstances", "StartInstances", "StopInstances") and not next(changes) % 3:
            return "lost"
        return "throttled" if chance > 0.75 and not action.startswith("S3") else None

    with between(private_endpoint) as proxy:
        proxy.rule = rule
        controller(AWS_ENDPOINT_URL=proxy.url)
        web_tier.burst(100)
        eventually(lambda: len(watched.named) == 15, within=90)
        web_tier.outstanding = 0
        eventually(lambda: watched.live == 0, within=90)
        assert proxy.spoiled["throttled"]
        assert proxy.spoiled["lost"]
        assert proxy.spoiled["late"]
    assert watched.most_live == 15


def test_dry_run_changes_nothing(
    resources: Settings,
    controller: Start,
    web_tier: WebTier,
    watched: Watched,
    eventually: Wait,
) -> None:
    controller("--dry-run")
    web_tier.burst(100)
    dry = StateBucket(resources, "controller/dry-run/")
    eventually(lambda: any(d.launch == 15 for d in decisions.read(dry)), within=20)
    assert watched.machines() == []
    assert StateBucket(resources, layout.CONTROLLER).find(LEASE) is None


def test_second_controller_waits_and_takes_over_on_release(
    tmp_path: Path, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait
) -> None:
    log = tmp_path / "controller.log"
    first = controller()
    eventually(lambda: log.read_text().count("acts from now on") == 1, within=20)
    second = {"FACEREC_MACHINE": "second", "FACEREC_STATE_DIR": str(tmp_path / "second")}
    controller(**second)
    web_tier.burst(100)
    eventually(lambda: len(watched.named) == 15, within=20)
    assert log.read_text().count("acts from now on") == 1
    first.signal(signal.SIGTERM)
    first.wait(10)
    eventually(lambda: log.read_text().count("acts from now on") == 2, within=15)
    web_tier.outstanding = 0
    eventually(lambda: watched.live == 0, within=15)
    assert watched.most_live == 15


@pytest.mark.soak
def test_second_controller_takes_over_after_a_kill(
    tmp_path: Path, controller: Start, web_tier: WebTier, watched: Watched, eventually: Wait
) -> None:
    log = tmp_path / "controller.log"
    first = controller()
    eventually(lambda: log.read_text().count("acts from now on") == 1, within=20)
    controller(FACEREC_MACHINE="second", FACEREC_STATE_DIR=str(tmp_path / "second"))
    time.sleep(DURATION / 3)  # it watches the lease being renewed
    os.killpg(first.pid, signal.SIGKILL)
    web_tier.burst(100)
    eventually(lambda: len(watched.named) == 15, within=60)
    assert watched.most_live == 15


def test_controller_survives_an_aws_outage(
    private_endpoint: str,
    resources: Settings,
    controller: Start,
    web_tier: WebTier,
    watched: Watched,
    eventually: Wait,
) -> None:
    with between(private_endpoint) as proxy:
        process = controller(AWS_ENDPOINT_URL=proxy.url)
        web_tier.burst(100)
        eventually(lambda: len(watched.named) == 15, within=20)
        proxy.rule = lambda action: "throttled"
        web_tier.outstanding = 0
        eventually(lambda: proxy.spoiled["throttled"] >= 30, within=40)
        assert watched.live == 15
        assert process.exit_code is None
        proxy.rule = lambda action: None
        eventually(lambda: watched.live == 0, within=30)
