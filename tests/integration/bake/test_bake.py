"""A bake, from the checkout to the published image, and every way in which it can fail."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ami_build.image.bake import Bake
from ami_build.image.bake_options import BakeFailed, BakeOptions, BakeResult
from ami_build.image.registry import Images, ImageTaken
from autoscale.fleet import Ec2Fleet
from facerec_tasks import aws
from facerec_tasks.errors import ConfigurationError
from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket

Player = Any
"""Of conftest.py, which cannot be imported."""
Eventually = Callable[..., None]

# One EC2 for each test: the image's name is the account's.
pytestmark = pytest.mark.usefixtures("private_endpoint")


def baker(settings: Settings, base_image: str, told: list[str] | None = None, **order: Any) -> Bake:
    wanted = {"base_image": base_image, "instance_type": "t3.small", "deadline": 30.0} | order
    return Bake(
        settings, BakeOptions(**wanted), (told if told is not None else []).append, poll=0.1
    )


def bake(settings: Settings, base_image: str, **order: Any) -> BakeResult:
    return baker(settings, base_image, **order).run()


def test_a_bake_ends_with_a_published_image_and_no_machine(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    before = Ec2Fleet(resources).launch(1, "before")  # from what was there
    base, told = base_image(), list[str]()
    baked = baker(resources, base, told).run()
    assert baked.base_image == base
    assert baked.report["status"] == "ok"
    assert baked.source.replace("-dirty", "") in str(baked.report["made"])
    assert baked.version.endswith(baked.source[:60])
    assert told[-1] == f"app-tier-ami is {baked.version}"
    images = Images(resources)
    current = images.current()
    assert current is not None
    assert current["Name"] == "app-tier-ami"
    assert current["ImageId"] != baked.image
    tags = {t["Key"]: t["Value"] for t in current["Tags"]}
    assert tags["facerec:source"] == baked.source
    (kept,) = images.kept()
    assert (kept.id, kept.version) == (baked.image, baked.version)
    assert player.machines("pending", "running", "stopping", "stopped") == []
    (new,) = Ec2Fleet(resources).launch(1, "after")
    ec2 = aws.client(resources, "ec2")
    found = ec2.describe_instances(InstanceIds=[new, *before])
    used = {i["InstanceId"]: i["ImageId"] for r in found["Reservations"] for i in r["Instances"]}
    assert used[new] == current["ImageId"] != used[before[0]]


def test_the_machine_has_urls_for_one_hour_of_work_and_nothing_else(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    baked = bake(resources, base_image())
    (user_data,) = player.user_data
    assert len(user_data.encode()) < 16 * 1024
    unnamed = user_data.replace(f"Credential={os.environ['AWS_ACCESS_KEY_ID']}", "")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in unnamed
    (machine,) = player.machines()
    found = aws.client(resources, "ec2").describe_instances(InstanceIds=[machine])
    instance = found["Reservations"][0]["Instances"][0]
    assert "IamInstanceProfile" not in instance
    assert not instance.get("KeyName")
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    shut_down = (player.folder / machine / "shutdown").read_text()
    assert shut_down == "-h +11\n", "it ends itself, whatever becomes of us"
    names = {e.name for e in StateBucket(resources, f"bake/{baked.version}/").list("")}
    assert {n.rpartition("/")[2] for n in names} >= {"bundle.tar.gz", "report.json", "log.txt"}


def test_images_for_rollback_are_the_last_three_and_the_one_in_use(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    base, images, ec2 = base_image(), Images(resources), aws.client(resources, "ec2")
    versions = [bake(resources, base).version for _ in range(3)]
    assert [k.version for k in images.kept()] == versions[::-1]
    assert images.publish(versions[0])
    assert not images.publish(versions[0]), "it is in use already"
    fourth = bake(resources, base, keep=2)
    assert [k.version for k in images.kept()] == [fourth.version, versions[2]]
    assert set(fourth.dropped) == {versions[0], versions[1]}
    snapshots = {s["SnapshotId"] for s in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert snapshots >= {s for k in images.kept() for s in k.snapshots}
    assert images.publish(versions[2])
    images.prune(1)
    assert [k.version for k in images.kept()] == [fourth.version, versions[2]], "one is in use"
    with pytest.raises(ConfigurationError, match=fourth.version):
        images.publish("gone")


@pytest.mark.parametrize(
    ("provision", "said"),
    [
        pytest.param("echo 'no space left' >&2; exit 3", "no space left", id="it fails"),
        pytest.param("rm -rf units; exit 1", "ended with 1", id="it fails without a word"),
        pytest.param("echo nonsense", "JSONDecodeError", id="its summary is none"),
        pytest.param("kill -9 $$", "ended with -9", id="it is killed"),
    ],
)
def test_a_machine_that_reports_a_failure_makes_no_image(
    resources: Settings,
    player: Player,
    base_image: Callable[[], str],
    provision: str,
    said: str,
) -> None:
    player.provision = provision
    before = Images(resources).current()
    with pytest.raises(BakeFailed, match=said):
        bake(resources, base_image())
    assert Images(resources).kept() == []
    assert Images(resources).current() == before
    assert player.machines("pending", "running", "stopping", "stopped") == []


def test_bundle_with_another_sha256_is_not_installed(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    player.changed = True
    with pytest.raises(BakeFailed, match="SHA-256"):
        bake(resources, base_image())
    assert player.machines("pending", "running") == []


def test_machine_without_a_report_is_terminated(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    player.silent = True
    with pytest.raises(BakeFailed, match="no report within 2 s"):
        bake(resources, base_image(), deadline=2.0)
    assert player.machines("pending", "running", "stopping", "stopped") == []


def test_a_machine_that_ends_before_it_reports_is_not_waited_for(
    resources: Settings, player: Player, base_image: Callable[[], str], eventually: Eventually
) -> None:
    player.silent = True
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bake, resources, base_image())
        eventually(lambda: player.user_data)
        player.ec2.terminate_instances(InstanceIds=player.machines())
        with pytest.raises(BakeFailed, match="has not reported"):
            running.result(20)


def test_a_report_that_is_nonsense_is_a_failure(
    resources: Settings, player: Player, base_image: Callable[[], str], eventually: Eventually
) -> None:
    player.silent = True
    baking = baker(resources, base_image())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(baking.run)
        eventually(lambda: player.user_data)
        StateBucket(resources, "bake/").put(f"{baking.version}/report.json", b'["ok"]')
        with pytest.raises(BakeFailed, match="no object"):
            running.result(20)


def _raising(code: str, times: int, call: Callable[..., Any]) -> Callable[..., Any]:
    left = [times]

    def refuse(**request: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise ClientError({"Error": {"Code": code, "Message": "test"}}, "any")
        return call(**request)

    return refuse


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded"])
def test_insufficient_capacity_says_what_to_try(
    resources: Settings,
    base_image: Callable[[], str],
    player: Player,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    ec2 = aws.client(resources, "ec2")
    monkeypatch.setattr(ec2, "run_instances", _raising(code, 99, ec2.run_instances))
    with pytest.raises(BakeFailed, match="--instance-type"):
        bake(resources, base_image())


def test_a_base_image_with_another_root_disk_is_refused(resources: Settings) -> None:
    base = aws.client(resources, "ec2").register_image(
        Name=f"other-{resources.id}", Architecture="x86_64", RootDeviceName="/dev/sda1"
    )
    with pytest.raises(ConfigurationError, match="/dev/sda1"):
        bake(resources, base["ImageId"])


def test_bake_outside_the_systems_region_is_refused(resources: Settings) -> None:
    """S3 answers for the state bucket from everywhere; the machine would be in the wrong region."""
    away = resources.model_copy(update={"id": f"away-{resources.id}"[:32].strip("-")})
    aws.client(away, "s3").create_bucket(
        Bucket=away.state_bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    with pytest.raises(ConfigurationError, match="AWS_REGION=eu-west-1"):
        bake(away, "ami-1")


def test_throttling_is_retried_in_every_call(
    resources: Settings,
    base_image: Callable[[], str],
    player: Player,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ec2, base = aws.client(resources, "ec2"), base_image()
    for name in (
        "run_instances", "stop_instances", "create_image", "register_image", "deregister_image",
        "create_tags", "terminate_instances", "describe_images", "describe_instances",
    ):  # fmt: skip
        monkeypatch.setattr(ec2, name, _raising("RequestLimitExceeded", 1, getattr(ec2, name)))
    baked = bake(resources, base)
    assert Images(resources).in_use() == baked.version
    assert player.machines("pending", "running", "stopping", "stopped") == []


def test_a_launch_whose_answer_is_lost_makes_one_machine(
    resources: Settings,
    base_image: Callable[[], str],
    player: Player,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ec2 = aws.client(resources, "ec2")
    launch, lost = ec2.run_instances, []

    def lose(**request: Any) -> Any:
        answer = launch(**request)
        if not lost:
            lost.append(answer)
            raise ClientError({"Error": {"Code": "InternalError", "Message": "test"}}, "any")
        return answer

    monkeypatch.setattr(ec2, "run_instances", lose)
    bake(resources, base_image())
    assert len(player.machines()) == 1


def test_two_bakes_at_once_have_a_version_and_a_machine_each(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    base = base_image()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(bake, resources, base) for _ in range(2)]
        first, second = (running.result(60) for running in both)
    assert first.version != second.version
    assert first.report["version"] == first.version
    images = Images(resources)
    assert {k.version for k in images.kept()} == {first.version, second.version}
    assert images.in_use() in {first.version, second.version}
    assert player.machines("pending", "running", "stopping", "stopped") == []


def test_publishing_at_once_leaves_one_image_of_the_name(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    base = base_image()
    versions = [bake(resources, base).version for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Images(resources).publish, versions * 4))
    found = player.ec2.describe_images(
        Owners=["self"], Filters=[{"Name": "name", "Values": ["app-tier-ami"]}]
    )["Images"]
    assert len(found) == 1
    assert Images(resources).in_use() in versions


def test_image_of_another_system_is_not_deregistered(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    bake(resources, base := base_image())
    other = resources.model_copy(update={"id": "other"})
    with pytest.raises(ImageTaken, match=resources.id):
        bake(other, base)


def test_without_a_state_bucket_it_says_what_to_do(
    settings: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    nobody = settings.model_copy(update={"id": "nobody-here"})
    with pytest.raises(ConfigurationError, match="aws deploy"):
        bake(nobody, base_image())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_bake_that_is_interrupted_ends_its_machine(
    resources: Settings,
    player: Player,
    base_image: Callable[[], str],
    eventually: Eventually,
    number: signal.Signals,
) -> None:
    player.silent = True
    facerec = Path(sys.executable).with_name("facerec")
    command = [facerec, "aws", "bake", "--base-image", base_image()]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: player.user_data, within=120)
        running.send_signal(number)
        running.send_signal(signal.SIGINT)  # and once more, impatiently
        output, _ = running.communicate(timeout=40)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 1
    assert output == ""
    eventually(lambda: not player.machines("pending", "running", "stopping", "stopped"))


def test_machines_of_a_killed_bake_are_terminated_by_the_next(
    resources: Settings,
    player: Player,
    base_image: Callable[[], str],
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    player.silent = True
    base, ec2 = base_image(), aws.client(resources, "ec2")
    refuse = _raising("UnauthorizedOperation", 99, ec2.terminate_instances)
    with monkeypatch.context() as killed:
        killed.setattr(ec2, "terminate_instances", refuse)  # as if it had been killed
        with pytest.raises(BakeFailed):
            bake(resources, base, deadline=3.0)
    (left,) = player.machines("running")
    told: list[str] = []
    with pytest.raises(BakeFailed):  # not old enough: another bake may be waiting for it
        baker(resources, base, told, deadline=1.0).run()
    assert left in player.machines("running")
    with pytest.raises(BakeFailed):  # as if hours had passed
        baker(resources, base, told, deadline=-400.0).run()
    assert any("broken bake" in line and left in line for line in told)
    eventually(lambda: not player.machines("running"))


def test_the_command_prints_one_object(
    resources: Settings, player: Player, base_image: Callable[[], str]
) -> None:
    facerec = Path(sys.executable).with_name("facerec")
    done = subprocess.run(
        [facerec, "aws", "bake", "--base-image", base_image(), "--json"],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["version"] == Images(resources).in_use()
    assert "baking" in done.stderr
