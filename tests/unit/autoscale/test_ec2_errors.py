"""Refusals of EC2 with the codes and HTTP statuses that AWS documents.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import Stubber

from autoscale.ec2_errors import InsufficientCapacity
from autoscale.fleet import Ec2Fleet
from facerec_tasks.errors import Unavailable
from facerec_tasks.settings import Settings

CAPACITY = {
    "InsufficientInstanceCapacity": 500, "InsufficientCapacity": 500,
    "InsufficientHostCapacity": 500, "InsufficientReservedInstanceCapacity": 500,
    "InsufficientAddressCapacity": 500, "InsufficientVolumeCapacity": 500,
    "InsufficientCapacityOnHost": 400, "InsufficientFreeAddressesInSubnet": 400,
    "InstanceLimitExceeded": 400, "VcpuLimitExceeded": 400, "VolumeLimitExceeded": 400,
    "MaxIOPSLimitExceeded": 400, "HostLimitExceeded": 400, "MaxSpotInstanceCountExceeded": 400,
    "ReservationCapacityExceeded": 400, "SpotMaxPriceTooLow": 400, "PendingVerification": 400,
    "UnfulfillableCapacity": 400, "Unsupported": 400,
}  # fmt: skip
"""Codes of lack of room or quota: AWS has made nothing and remembers no token."""
UNCERTAIN = {
    "RequestLimitExceeded": 503, "InternalError": 500, "Unavailable": 503,
    "ServiceUnavailable": 503,
}  # fmt: skip
"""Codes after which the call is made again."""


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    made = boto3.client(
        "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    for module in ("fleet", "image"):
        monkeypatch.setattr(f"autoscale.{module}.client", lambda *_: made)
    with Stubber(made) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


IMAGES = {"Images": [{"ImageId": "ami-1"}]}


@pytest.fixture
def fleet() -> Ec2Fleet:
    return Ec2Fleet(Settings(launch_template="workers"))


@pytest.mark.parametrize(("code", "status"), CAPACITY.items())
def test_launch_refused_for_capacity_leaves_no_open_launch(
    ec2: Stubber, fleet: Ec2Fleet, code: str, status: int
) -> None:
    ec2.add_response("describe_images", IMAGES)
    ec2.add_client_error("run_instances", code, http_status_code=status)
    with pytest.raises(InsufficientCapacity, match=code):
        fleet.launch(3, "token")


@pytest.mark.parametrize(("code", "status"), CAPACITY.items())
def test_start_refused_for_capacity_sets_each_machine_aside(
    ec2: Stubber, fleet: Ec2Fleet, code: str, status: int
) -> None:
    for _ in range(3):  # both at once, then one by one
        ec2.add_client_error("start_instances", code, http_status_code=status)
    with pytest.raises(InsufficientCapacity, match=code):
        fleet.start(["i-1", "i-2"])
    stopped = [{"InstanceId": i, "State": {"Name": "stopped"}} for i in ("i-1", "i-2", "i-3")]
    ec2.add_response("describe_instances", {"Reservations": [{"Instances": stopped}]})
    ec2.add_response("describe_images", IMAGES)
    assert [m.refused for m in fleet.describe()] == [True, True, False]


@pytest.mark.parametrize(("code", "status"), UNCERTAIN.items())
def test_call_that_may_have_been_carried_out_is_no_lack_of_capacity(
    ec2: Stubber, fleet: Ec2Fleet, code: str, status: int
) -> None:
    ec2.add_response("describe_images", IMAGES)
    ec2.add_client_error("run_instances", code, http_status_code=status)
    with pytest.raises(Unavailable, match=code):
        fleet.launch(3, "token")
    ec2.add_client_error("start_instances", code, http_status_code=status)
    with pytest.raises(Unavailable, match=code):
        fleet.start(["i-1"])


@pytest.mark.parametrize(
    ("state", "code", "fails"),
    [
        ("terminated", "Client.InternalError", True),  # no right to the key of its disk
        ("terminated", "Client.VolumeLimitExceeded", True),
        ("terminated", "Client.InvalidSnapshot.NotFound", True),
        ("shutting-down", "Server.InsufficientInstanceCapacity", True),
        ("stopped", "Server.InternalError", True),
        ("stopped", "Client.UserInitiatedShutdown", False),
        ("stopped", "Client.InstanceInitiatedShutdown", False),
        ("terminated", "Server.SpotInstanceTermination", False),
        ("stopped", "Server.ScheduledStop", False),
        ("pending", "pending", False),
        ("running", "", False),
    ],
)
def test_machine_that_ec2_could_not_start_says_why(
    ec2: Stubber, fleet: Ec2Fleet, state: str, code: str, fails: bool
) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"""
    machine = {
        "InstanceId": "i-1", "State": {"Name": state}, "LaunchTime": datetime.now(UTC),
        "StateReason": {"Code": code, "Message": f"{code}: in words"},
    }  # fmt: skip
    ec2.add_response("describe_instances", {"Reservations": [{"Instances": [machine]}]})
    if state not in ("shutting-down", "terminated"):
        ec2.add_response("describe_images", IMAGES)
    (found,) = fleet.describe()
    assert found.boot_error == (f"{code}: in words" if fails else "")
    assert found.refused == fails
