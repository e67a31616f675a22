"""CreateFleet of type instant: requests and answers as botocore's model of EC2 has them."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from autoscale import instant_fleet
from autoscale.ec2_errors import InsufficientCapacity
from autoscale.fleet import Ec2Fleet
from autoscale.instant_fleet import InstantFleet
from facerec_tasks.settings import Settings

TAGS = [{"Key": "facerec-launch", "Value": "t"}]


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    made = boto3.client(
        "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    monkeypatch.setattr(instant_fleet, "client", lambda *_: made)
    with Stubber(made) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def several(**fields: Any) -> Settings:
    return Settings(
        launch_template="workers",
        instance_types="c7i.large, c6i.large",
        subnets="subnet-a,subnet-b",
        **fields,
    )


def given(*ids: str) -> dict[str, Any]:
    return {"InstanceIds": list(ids), "InstanceType": "c7i.large", "Lifecycle": "on-demand"}


def refused(code: str, kind: str = "c7i.large") -> dict[str, Any]:
    overrides = {"InstanceType": kind, "SubnetId": "subnet-a"}
    return {
        "LaunchTemplateAndOverrides": {"Overrides": overrides},
        "ErrorCode": code,
        "ErrorMessage": "no room",
    }


def test_all_types_and_zones_are_asked_for_in_one_call_with_tags(ec2: Stubber) -> None:
    overrides = [
        {"InstanceType": kind, "SubnetId": subnet, "ImageId": "ami-1", "Priority": priority}
        for kind, priority in (("c7i.large", 0.0), ("c6i.large", 1.0))
        for subnet in ("subnet-a", "subnet-b")
    ]
    template = {"LaunchTemplateName": "workers", "Version": "$Default"}
    asked = {
        "Type": "instant",
        "ClientToken": "t-on-demand",
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": template, "Overrides": overrides}
        ],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 3,
            "DefaultTargetCapacityType": "on-demand",
        },
        "OnDemandOptions": {"AllocationStrategy": "prioritized"},
        "SpotOptions": {"AllocationStrategy": "capacity-optimized-prioritized"},
        "TagSpecifications": [
            {"ResourceType": "fleet", "Tags": TAGS},
            {"ResourceType": "instance", "Tags": TAGS},
        ],
    }
    ec2.add_response("create_fleet", {"Instances": [given("i-1", "i-2"), given("i-3")]}, asked)
    fleet = InstantFleet(several())
    assert fleet.usable
    assert fleet.launch(3, "t", "ami-1", TAGS) == ["i-1", "i-2", "i-3"]


def test_part_of_what_was_asked_for_is_taken(
    ec2: Stubber, caplog: pytest.LogCaptureFixture
) -> None:
    answer = {"Instances": [given("i-1")], "Errors": [refused("InsufficientInstanceCapacity")] * 2}
    ec2.add_response("create_fleet", answer)
    assert InstantFleet(several()).launch(3, "t", None, TAGS) == ["i-1"]
    assert caplog.text.count("c7i.large subnet-a InsufficientInstanceCapacity: no room") == 1


def test_nothing_at_all_is_a_refusal_that_names_types_and_reasons(ec2: Stubber) -> None:
    answer = {"Errors": [refused("UnfulfillableCapacity"), refused("Unsupported", "c6i.large")]}
    ec2.add_response("create_fleet", answer)
    with pytest.raises(InsufficientCapacity) as error:
        InstantFleet(several()).launch(3, "t", None, TAGS)
    assert "c7i.large subnet-a UnfulfillableCapacity" in str(error.value)
    assert "c6i.large subnet-a Unsupported" in str(error.value)


def test_on_demand_fills_missing_spot_capacity(ec2: Stubber) -> None:
    spot = {"Instances": [given("i-1")], "Errors": [refused("InsufficientInstanceCapacity")]}
    ec2.add_response("create_fleet", spot)
    fields = dict.fromkeys(
        (
            "Type",
            "LaunchTemplateConfigs",
            "OnDemandOptions",
            "SpotOptions",
            "TagSpecifications",
        ),
        ANY,
    )
    rest = {"TotalTargetCapacity": 2, "DefaultTargetCapacityType": "on-demand"}
    ec2.add_response(
        "create_fleet",
        {"Instances": [given("i-2", "i-3")]},
        fields | {"ClientToken": "t-on-demand", "TargetCapacitySpecification": rest},
    )
    fleet = InstantFleet(several(spot=True, fleet_mode="terminate"))
    assert fleet.launch(3, "t", None, TAGS) == ["i-1", "i-2", "i-3"]


@pytest.mark.parametrize(
    "code",
    [
        "VcpuLimitExceeded", "InvalidLaunchTemplateName.NotFoundException", "Unsupported",
        "UnfulfillableCapacity", "InsufficientFreeAddressesInSubnet",
    ],
)  # fmt: skip
def test_a_refused_call_is_lack_of_capacity(ec2: Stubber, code: str) -> None:
    ec2.add_client_error("create_fleet", code)
    with pytest.raises(InsufficientCapacity, match=code):
        InstantFleet(several()).launch(1, "t", None, TAGS)


def test_accounts_that_may_not_create_fleets_launch_one_by_one(ec2: Stubber) -> None:
    ec2.add_client_error("create_fleet", "UnauthorizedOperation")
    fleet = InstantFleet(several())
    assert fleet.launch(1, "t", None, TAGS) is None
    assert not fleet.usable


def test_launches_that_are_refused_inside_the_fleet_go_one_by_one(ec2: Stubber) -> None:
    """CreateFleet is allowed and RunInstances under other conditions: that is no lack of room."""
    errors = [refused("UnauthorizedOperation"), refused("UnauthorizedOperation", "c6i.large")]
    ec2.add_response("create_fleet", {"Errors": errors})
    fleet = InstantFleet(several())
    assert fleet.launch(1, "t", None, TAGS) is None
    assert not fleet.usable


@pytest.mark.parametrize(
    ("fields", "usable"),
    [
        ({"launch_template": "w"}, False),  # nothing to choose from
        ({"launch_template": "w", "subnets": '["a", "b"]'}, True),
        ({"instance_types": "a,b"}, False),  # CreateFleet needs a template
    ],
)
def test_fleets_are_for_templates_with_a_choice(fields: dict[str, str], usable: bool) -> None:
    assert InstantFleet(Settings(**fields)).usable is usable  # type: ignore[arg-type]


def test_a_machine_that_ec2_does_not_know_yet_is_named_later(
    ec2: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoscale.fleet.client", instant_fleet.client)
    ec2.add_client_error("create_tags", "InvalidInstanceID.NotFound")
    Ec2Fleet(several()).name("i-1", 1)
