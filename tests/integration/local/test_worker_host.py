"""The worker host with the emulated EC2, real workers in it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from autoscale.fleet import MEMBER_TAG
from facerec_tasks import aws
from facerec_tasks.settings import Settings
from local.emulators.resources import WORKER_IMAGE, create_resources, ensure_image
from local.processes.child import Child

Wait = Callable[..., None]
Spawn = Callable[..., Child]
BOOT = 45.0
"""Seconds a worker may take on a loaded machine."""


class Host:
    """A worker host on an EC2, and what it runs."""

    def __init__(self, settings: Settings, spawn: Spawn) -> None:
        self.settings = settings
        self.ec2 = aws.client(settings, "ec2")
        self.spawn = spawn
        self.worker_host = self.start()

    def start(self) -> Child:
        return self.spawn((sys.executable, "-m", "local.processes.worker_host"), log="worker_host")

    def launch(self, name: str, **tags: str) -> str:
        """Launches one machine; its id."""
        every = [{"Key": k, "Value": v} for k, v in {"Name": name, **tags}.items()]
        launched = self.ec2.run_instances(
            ImageId=ensure_image(self.ec2, WORKER_IMAGE),
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": every}],  # type: ignore[typeddict-item]
        )
        return launched["Instances"][0]["InstanceId"]

    def processes(self, machine: str = "@i-") -> list[int]:
        """Pids of all worker processes of a machine, main and children; of this test's only."""
        mark = f"FACEREC_ID={self.settings.id}\0".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                ours = mark in (folder / "environ").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if ours and b"celery" in command and machine.encode() in command:
                found.append(int(folder.name))
        return sorted(found)

    def log(self, machine: str) -> str:
        path = self.settings.state_dir / "logs" / f"worker-{machine}.log"
        return path.read_text() if path.exists() else ""

    def ready(self, machine: str, times: int = 1) -> bool:
        return self.log(machine).count(" ready.") == times


@pytest.fixture
def host(private_endpoint: str, settings: Settings, spawn: Spawn) -> Iterator[Host]:
    create_resources(settings)
    return Host(settings, spawn)


def test_a_worker_lives_as_long_as_its_machine_runs(host: Host, eventually: Wait) -> None:
    machine = host.launch("app-tier-instance-1")
    other = host.launch("web-instance")
    foreign = host.launch("app-tier-instance-2", **{MEMBER_TAG: "somebody-else"})
    eventually(lambda: host.ready(machine), within=BOOT)
    assert f"app-tier-instance-1@{machine} ready." in host.log(machine)
    assert not host.processes(other)
    assert not host.processes(foreign)

    host.ec2.stop_instances(InstanceIds=[machine])
    eventually(lambda: not host.processes(machine), within=30)
    assert "Warm shutdown" in host.log(machine), "SIGTERM, not SIGKILL"

    host.ec2.start_instances(InstanceIds=[machine])
    eventually(lambda: host.ready(machine, times=2), within=BOOT)


def test_a_worker_that_is_killed_comes_back_and_leaves_no_children(
    host: Host, eventually: Wait
) -> None:
    machine = host.launch("app-tier-instance-1")
    eventually(lambda: host.ready(machine), within=BOOT)
    before = host.processes(machine)
    assert len(before) >= 2, "a main process and its pool"
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: host.ready(machine, times=2), within=BOOT)
    assert not set(before) & set(host.processes(machine))


def test_a_killed_worker_host_takes_its_workers_along_and_the_next_one_starts_them_again(
    host: Host, eventually: Wait
) -> None:
    machine = host.launch("app-tier-instance-1")
    eventually(lambda: host.ready(machine), within=BOOT)
    os.kill(host.worker_host.pid, signal.SIGKILL)
    eventually(lambda: not host.processes(), within=5)
    host.start()
    eventually(lambda: host.ready(machine, times=2), within=BOOT)


def test_it_outlives_an_aws_that_is_gone_and_ends_in_time(
    host: Host, eventually: Wait, private_aws: ExitStack
) -> None:
    machine = host.launch("app-tier-instance-1")
    eventually(lambda: host.ready(machine), within=BOOT)
    private_aws.close()
    log = host.settings.state_dir.parent / "worker_host.log"
    eventually(lambda: "does not answer" in log.read_text(), within=30)
    assert host.processes(machine), "no answer is no reason to stop a worker"
    host.worker_host.signal(signal.SIGTERM)
    assert host.worker_host.wait(8)
    assert not host.processes()
