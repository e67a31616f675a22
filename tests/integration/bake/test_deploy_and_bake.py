"""From an empty account to a machine that serves, and back to an empty account."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

import cli.commands.aws
from ami_build.image.bake_options import BakeOptions
from ami_build.image.registry import Images
from ami_build.stack.cloudformation import Stack
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings
from tests.integration.bake.conftest import Player


@pytest.fixture
def machine(settings: Settings, private_endpoint: str, tmp_path: Path) -> Iterator[Player]:
    """Plays the machine of the bake, in an account with nothing in it."""
    player = Player(settings, tmp_path / "disks")
    thread = Thread(target=player.play)
    thread.start()
    yield player
    player.end()
    thread.join(130)


def run(*arguments: str) -> str:
    told = CliRunner().invoke(cli.commands.aws.aws, arguments)
    assert told.exit_code == 0, told.output
    return told.stdout


def test_one_command_brings_everything_and_another_takes_it_away(
    settings: Settings, machine: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2 = client(settings, "ec2")
    base = ec2.register_image(Name="debian", Architecture="x86_64", RootDeviceName="/dev/xvda")
    monkeypatch.setattr(
        cli.commands.aws, "BakeOptions", partial(BakeOptions, base_image=base["ImageId"])
    )
    done = json.loads(run("deploy", "--bake", "--yes", "--no-wait", "--json"))
    (kept,) = Images(settings).kept()
    assert done["image"] == kept.id
    web = Stack(settings).resources()["WebInstance"]
    assert done["url"].startswith("http://")
    found = ec2.describe_instances(InstanceIds=[web])["Reservations"][0]["Instances"][0]
    assert found["ImageId"] == kept.id

    run("destroy", "--with-photos", "--confirm", settings.id)
    assert Images(settings).kept() == []
    assert Images(settings).current() is None
    left = {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert left.isdisjoint(kept.snapshots)
    assert client(settings, "s3").list_buckets()["Buckets"] == []
