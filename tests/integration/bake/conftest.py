"""A machine that is baked: its user data is taken from EC2 and run, as cloud-init would.

Everything in it is real, fetching, checking and unpacking the bundle, the report, the log; but
``bash`` is a script of the test's when it is to run provision.sh, which would provision *this*
machine, and ``shutdown`` only writes down that it was called. What provision.sh does is tested in
tests/system/image.
"""

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest

from ami_build.image import bundle
from ami_build.image.bake import BAKE_TAG
from autoscale.image import IMAGE
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from tests.forked_aws import AwsForks

PROVISION = """#!/bin/bash
# In the place of bash: checks what provision.sh is given, does what the test says.
set -euo pipefail
[ "$(basename "$1")" = provision.sh ] || exec /bin/bash "$@"
/bin/bash -n "$1"
cd "$2"
echo "wheels: $(ls *.whl)" >&2
for wheel in *.whl; do python3 -m zipfile --test "$wheel" >&2; done
for part in units/facerec-worker.service bin/machine.py requirements/worker.txt cloud-init.cfg; do
  [ -s "$part" ] || { echo "missing: $part" >&2; exit 1; }
done
"""
OK = """echo '{"wheel": "'$(ls facerec-*.whl)'"}'"""
"""The last line of a script that has gone well."""


@dataclass
class Player:
    """Plays the machines of bakes; ``provision`` is what provision.sh does."""

    settings: Settings
    folder: Path
    provision: str = OK
    silent: bool = False
    """The user data never runs."""
    changed: bool = False
    """Somebody changes the bundle before the machine fetches it."""
    ended: list[str] = field(default_factory=list)
    played: set[str] = field(default_factory=set)
    user_data: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def ec2(self) -> Any:
        return boto3.client(
            "ec2", region_name=self.settings.region, endpoint_url=self.settings.endpoint_url
        )

    def machines(self, *states: str) -> list[str]:
        filters = [
            {"Name": f"tag:{BAKE_TAG}", "Values": ["*"]},
            {"Name": "tag:facerec:id", "Values": [self.settings.id]},
        ]
        if states:
            filters.append({"Name": "instance-state-name", "Values": list(states)})
        found = self.ec2.describe_instances(Filters=filters)
        return [i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]]

    def play(self) -> None:
        while not self._stop.wait(0.1):
            for machine in self.machines("running"):
                if machine not in self.played:
                    self.played.add(machine)
                    self._boot(machine)

    def _boot(self, machine: str) -> None:
        answer = self.ec2.describe_instance_attribute(InstanceId=machine, Attribute="userData")
        user_data = base64.b64decode(answer["UserData"]["Value"]).decode()
        self.user_data.append(user_data)
        if self.silent:
            return
        if self.changed:
            state = StateBucket(self.settings, layout.BAKE)
            for entry in state.list(""):
                if entry.name.endswith("bundle.tar.gz"):
                    state.put(entry.name, b"another one")
        disk = self.folder / machine
        (disk / "bin").mkdir(parents=True)
        (disk / "tmp").mkdir()
        self._script(disk / "bin" / "bash", f"{PROVISION}\n{self.provision}\n")
        self._script(disk / "bin" / "shutdown", f'#!/bin/sh\necho "$@" >{disk}/shutdown\n')
        self._script(disk / "user-data", user_data)
        # Of credentials it has none: what it may do is in the URLs.
        environment = {
            "PATH": f"{disk}/bin:{os.environ['PATH']}",
            "TMPDIR": f"{disk}/tmp",
            "NO_PROXY": "*",
        }
        subprocess.run(
            ["/bin/bash", disk / "user-data"],
            env=environment,
            cwd=disk,
            timeout=120,
            check=False,
        )

    @staticmethod
    def _script(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def end(self) -> None:
        self._stop.set()


@pytest.fixture
def private_endpoint(private_aws: ExitStack, aws_forks: AwsForks) -> str:
    """An AWS for one test; the given one, without what the test before has left there."""
    given = os.environ.get("FACEREC_TEST_ENDPOINT")
    if given is None:
        return private_aws.enter_context(aws_forks.fork(pending=0.3, stopping=0.3))
    ec2 = boto3.client("ec2", region_name="us-east-1", endpoint_url=given)
    named: Any = [{"Name": "name", "Values": [f"{IMAGE}*"]}]
    for image in ec2.describe_images(Owners=["self"], Filters=named)["Images"]:
        ec2.deregister_image(ImageId=image["ImageId"])
    return given


@pytest.fixture
def player(resources: Settings, tmp_path: Path) -> Iterator[Player]:
    """Plays every machine that a bake of this test launches."""
    playing = Player(resources, tmp_path / "disks")
    thread = threading.Thread(target=playing.play)
    thread.start()
    yield playing
    playing.end()
    thread.join(130)


@pytest.fixture
def base_image(resources: Settings) -> Callable[[], str]:
    """Some image to launch from."""

    def made() -> str:
        ec2 = boto3.client("ec2", region_name=resources.region, endpoint_url=resources.endpoint_url)
        name = f"debian-12-amd64-{resources.id}"
        return str(
            ec2.register_image(Name=name, Architecture="x86_64", RootDeviceName="/dev/xvda")[
                "ImageId"
            ]
        )

    return made


@pytest.fixture(scope="session")
def packed() -> bytes:
    """The bundle of this checkout."""
    if not (bundle.ROOT / ".git").exists():
        pytest.skip("an image is baked from a git checkout only, and says so")
    return bundle.pack()


@pytest.fixture(autouse=True)
def _packed_once(packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bake of this process's takes the same bundle: building wheels takes seconds."""
    monkeypatch.setattr(bundle, "pack", lambda **_: packed)
