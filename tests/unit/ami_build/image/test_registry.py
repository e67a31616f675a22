"""Snapshots of images that are gone, as EC2 answers for them.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ami_build.image import registry
from ami_build.image.registry import Images, delete_snapshot
from ami_build.stack import destroy
from ami_build.stack.destroy import Destroyer
from facerec_tasks.settings import Settings

IMAGE = {
    "ImageId": "ami-1", "Name": "app-tier-ami-1", "CreationDate": "2026-01-01",
    "Tags": [{"Key": "facerec:id", "Value": "lab"}, {"Key": "facerec:version", "Value": "1"}],
    "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-1"}}],
}  # fmt: skip


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    made = boto3.client(
        "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    for module in (registry, destroy):
        monkeypatch.setattr(module, "client", lambda *_: made)
    monkeypatch.setattr(registry, "SNAPSHOT_PAUSE", 0.0)
    with Stubber(made) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def in_use_for_a_moment(ec2: Stubber) -> None:
    for _ in range(2):
        ec2.add_client_error("delete_snapshot", "InvalidSnapshot.InUse", http_status_code=400)
    ec2.add_response("delete_snapshot", {}, {"SnapshotId": "snap-1"})


def test_destroy_waits_until_a_snapshot_is_free_of_its_image(ec2: Stubber) -> None:
    ec2.add_response("describe_images", {"Images": [IMAGE]})
    ec2.add_response("describe_snapshots", {"Snapshots": []})
    ec2.add_response("deregister_image", {}, {"ImageId": "ami-1"})
    in_use_for_a_moment(ec2)
    Destroyer(Settings(id="lab"), lambda line: None).remove_images()


def test_pruned_image_leaves_no_snapshot(ec2: Stubber) -> None:
    """One that is left costs for ever: the next bake looks at images."""
    older = {**IMAGE, "ImageId": "ami-0", "Name": "app-tier-ami-0", "CreationDate": "2025-01-01"}
    newer = {**IMAGE, "BlockDeviceMappings": []}
    older["Tags"] = [IMAGE["Tags"][0], {"Key": "facerec:version", "Value": "0"}]  # type: ignore[index]
    ec2.add_response("describe_images", {"Images": [newer]})  # the published one
    ec2.add_response("describe_images", {"Images": [older, newer]})
    ec2.add_response("deregister_image", {}, {"ImageId": "ami-0"})
    in_use_for_a_moment(ec2)
    assert Images(Settings(id="lab")).prune(1) == ["0"]


def test_snapshot_that_stays_in_use_is_an_error(
    ec2: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "SNAPSHOT_DEADLINE", 0.0)
    ec2.add_client_error("delete_snapshot", "InvalidSnapshot.InUse", http_status_code=400)
    with pytest.raises(ClientError, match="InUse"):
        delete_snapshot(ec2.client, "snap-1")


def test_snapshot_that_is_gone_is_as_good(ec2: Stubber) -> None:
    ec2.add_client_error("delete_snapshot", "InvalidSnapshot.NotFound", http_status_code=400)
    delete_snapshot(ec2.client, "snap-1")
