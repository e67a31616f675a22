"""Commands in a region in which the system is not: nothing is made there, nothing is lost.

S3 answers for the buckets from every region, so a command that looks at them alone goes on; whoever
makes a queue, a topic or a machine makes it in the wrong region, where nobody will remove it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from celery_sqs.testing import isolated

from facerec_tasks.settings import Settings
from local.emulators.embedded_aws import embedded_aws
from local.emulators.resources import create_buckets, create_queues
from local.samples import portraits
from tests.aws_like.strict_aws import StrictAws

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]
HOME, AWAY = "eu-west-1", "us-east-1"
ID = "lab-home"
PORTRAIT = portraits.portraits()[0]
COMMANDS = [
    ("people", "add", PORTRAIT.name, str(PORTRAIT.path)),
    ("people", "list"),
    ("keys", "add", "somebody", "--scope=recognize"),
    ("queue", "status"),
    ("queue", "redrive"),
    ("queue", "purge", "--yes"),
    ("photos", "list"),
    ("history",),
    ("fleet", "status"),
    ("fleet", "explain"),
    ("fleet", "rollout", "--deadline", "1"),
    ("aws", "logs"),
    ("aws", "doctor"),
    ("aws", "deploy", "--yes", "--no-wait"),
    ("aws", "bake", "--base-image", "ami-1"),
    ("aws", "destroy", "--with-photos", "--confirm", ID),
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with embedded_aws(pending=0.2, stopping=0.2) as url:
        yield url


@pytest.fixture(scope="module")
def home(emulator: str) -> Settings:
    """A system's buckets and queues, in its own region."""
    settings = Settings(id=ID, region=HOME, endpoint_url=emulator)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in isolated({}, emulator, HOME).items():
            environment.setenv(name, value)
        create_buckets(settings)
        create_queues(settings)
    return settings


def made_in(region: str, emulator: str) -> list[str]:
    """Queues, topics, machines, stacks and parameters."""

    def client(service: str) -> Any:
        return boto3.client(
            service, region_name=region, endpoint_url=emulator,
            aws_access_key_id="x", aws_secret_access_key="x",
        )  # fmt: skip

    machines = client("ec2").describe_instances()["Reservations"]
    return [
        *client("sqs").list_queues().get("QueueUrls", []),
        *(topic["TopicArn"] for topic in client("sns").list_topics()["Topics"]),
        *(machine["InstanceId"] for each in machines for machine in each["Instances"]),
        *(stack["StackName"] for stack in client("cloudformation").describe_stacks()["Stacks"]),
        *(one["Name"] for one in client("ssm").describe_parameters()["Parameters"]),
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_command_in_the_wrong_region_makes_nothing_there(
    strict: StrictAws, emulator: str, home: Settings, command: tuple[str, ...]
) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = isolated(kept, strict.url, AWAY) | {
        "FACEREC_ID": ID,
        "FACEREC_MODELS_DIR": os.path.abspath("models"),
    }
    before = made_in(HOME, emulator)
    run = (sys.executable, "-c", "from cli.main import main; main()", *command)
    done = subprocess.run(
        run, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    told = done.stdout + done.stderr
    assert "Traceback" not in told, told
    assert made_in(AWAY, emulator) == [], told
    assert made_in(HOME, emulator) == before
    buckets = boto3.client(
        "s3", endpoint_url=emulator, aws_access_key_id="x", aws_secret_access_key="x"
    ).list_buckets()["Buckets"]
    assert home.state_bucket in [bucket["Name"] for bucket in buckets]
