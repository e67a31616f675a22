"""What only EC2 has: market, templates, images, refusals."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from autoscale import fleet as module
from autoscale.ec2_errors import InsufficientCapacity
from autoscale.fleet import MEMBER_TAG, Ec2Fleet
from facerec_tasks.aws import client
from facerec_tasks.errors import ConfigurationError, NotFound, Unavailable
from facerec_tasks.settings import Settings
from local.emulators.ec2_refusals import PATH


@pytest.fixture
def ec2(resources: Settings) -> Any:
    return client(resources, "ec2")


def token() -> str:
    return uuid.uuid4().hex


def described(ec2: Any, machine: str) -> Any:
    return ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]


def test_spot_launch_and_interruption_notice(
    resources: Settings, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Ec2Fleet(resources.model_copy(update={"spot": True, "fleet_mode": "terminate"}))
    first, second = fleet.launch(2, token())
    assert described(ec2, first)["InstanceLifecycle"] == "spot"
    behavior = ec2.describe_instance_attribute(
        InstanceId=first, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert behavior["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    assert not any(m.faulty for m in fleet.describe())

    def notice(**_: Any) -> dict[str, Any]:  # the emulator takes no machine away
        return {"SpotInstanceRequests": [{"InstanceId": second}]}

    monkeypatch.setattr(ec2, "describe_spot_instance_requests", notice)
    assert {m.id: m.faulty for m in fleet.describe()} == {first: False, second: True}


def _refusing(code: str) -> Callable[..., Any]:
    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "test"}}, "RunInstances")

    return refuse


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded"])
def test_insufficient_capacity_falls_back_to_on_demand(
    code: str, resources: Settings, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Ec2Fleet(resources.model_copy(update={"spot": True, "fleet_mode": "terminate"}))
    with monkeypatch.context() as full:
        full.setattr(ec2, "run_instances", _refusing(code))
        with pytest.raises(InsufficientCapacity):
            fleet.launch(1, token())
    (machine,) = fleet.launch(1, token())
    assert "InstanceLifecycle" not in described(ec2, machine)


def _templated(resources: Settings, ec2: Any, image: str) -> Ec2Fleet:
    name = f"{resources.id}-template"
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": image, "InstanceType": "t3.small"},
    )
    return Ec2Fleet(resources.model_copy(update={"launch_template": name}))


def test_launch_template_with_own_image(
    private_endpoint: str, resources: Settings, ec2: Any
) -> None:
    older = ec2.register_image(Name="older", Architecture="x86_64", RootDeviceName="/dev/xvda")
    fleet = _templated(resources, ec2, older["ImageId"])
    (machine,) = fleet.launch(1, token())
    current = ec2.describe_images(
        Owners=["self"], Filters=[{"Name": "name", "Values": ["app-tier-ami"]}]
    )["Images"][0]["ImageId"]
    assert described(ec2, machine)["InstanceType"] == "t3.small"
    assert described(ec2, machine)["ImageId"] == current
    assert [(m.id, m.outdated) for m in fleet.describe()] == [(machine, False)]


def test_launch_template_with_its_own_image(
    private_endpoint: str, resources: Settings, ec2: Any
) -> None:
    own = ec2.register_image(Name="own", Architecture="x86_64", RootDeviceName="/dev/xvda")
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        if image["Name"] == "app-tier-ami":
            ec2.deregister_image(ImageId=image["ImageId"])
    fleet = _templated(resources, ec2, own["ImageId"])
    (machine,) = fleet.launch(1, token())
    assert described(ec2, machine)["ImageId"] == own["ImageId"]
    assert [(m.id, m.outdated) for m in fleet.describe()] == [(machine, False)]


def _several(resources: Settings, ec2: Any) -> Ec2Fleet:
    any_image = ec2.describe_images(Owners=["self"])["Images"][0]["ImageId"]
    types = ("c7i.large", "m7i.large")
    return _templated(resources.model_copy(update={"instance_types": types}), ec2, any_image)


def test_a_fleet_of_several_types_is_launched_tagged_and_once(
    private_endpoint: str, resources: Settings, ec2: Any
) -> None:
    fleet, asked = _several(resources, ec2), token()
    machines = fleet.launch(3, asked)
    assert fleet.launch(3, asked) == machines, "the same token never gives more than once"
    assert sorted(m.id for m in fleet.describe()) == sorted(machines)
    assert {described(ec2, one)["InstanceType"] for one in machines} == {"c7i.large"}
    tags = [{t["Key"]: t["Value"] for t in one["Tags"]} for one in ec2.describe_fleets()["Fleets"]]
    assert tags.count({"facerec-launch": asked, MEMBER_TAG: resources.id}) == 1


def test_a_fleet_takes_the_type_that_has_room_and_names_the_other(
    private_endpoint: str, resources: Settings, ec2: Any
) -> None:
    rules: list[dict[str, str]] = [
        {"action": "RunInstances", "code": "InsufficientInstanceCapacity", "only": "c7i.large"}
    ]
    refusals = f"{private_endpoint}{PATH}"
    urllib3.request("PUT", refusals, json=rules)
    try:
        fleet = _several(resources, ec2)
        (machine,) = fleet.launch(1, token())
        assert described(ec2, machine)["InstanceType"] == "m7i.large"
        rules.append({"action": "RunInstances", "code": "VcpuLimitExceeded", "only": "m7i.large"})
        urllib3.request("PUT", refusals, json=rules)
        with pytest.raises(InsufficientCapacity, match=r"m7i\.large VcpuLimitExceeded"):
            fleet.launch(1, token())
    finally:
        urllib3.request("PUT", refusals, json=[])


def test_machines_of_a_type_that_is_not_wanted_any_more_are_outdated(
    private_endpoint: str, resources: Settings
) -> None:
    """A changed `--worker-instance-type` reaches stopped machines too."""

    def of(*types: str) -> Ec2Fleet:
        return Ec2Fleet(resources.model_copy(update={"instance_types": types}))

    of("c7i.large").launch(1, token())
    assert [m.outdated for m in of("m7i.large", "c7i.large").describe()] == [False]
    assert [m.outdated for m in of("m7i.large").describe()] == [True]


def test_failed_image_lookup_changes_nothing(
    private_endpoint: str, resources: Settings, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Ec2Fleet(resources)
    (machine,) = fleet.launch(1, token())
    monkeypatch.setattr(module, "IMAGE_LOOK", 0.0)
    monkeypatch.setattr(module, "IMAGE_LOOK_AT_REST", 0.0)
    monkeypatch.setattr(ec2, "describe_images", _refusing("RequestLimitExceeded"))
    assert [(m.id, m.outdated) for m in fleet.describe()] == [(machine, False)]


def test_open_launch_of_an_older_image_stays_open(
    private_endpoint: str, resources: Settings, ec2: Any
) -> None:
    asked = token()
    Ec2Fleet(resources).launch(1, asked)  # and the answer is lost
    image = ec2.describe_images(Owners=["self"])["Images"][0]
    ec2.deregister_image(ImageId=image["ImageId"])
    ec2.register_image(Name="app-tier-ami", Architecture="x86_64", RootDeviceName="/dev/xvda")
    with pytest.raises(Unavailable, match="another image"):
        Ec2Fleet(resources).launch(1, asked)


def test_missing_image_error_names_the_remedy(settings: Settings, private_endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="bake one"):
        Ec2Fleet(settings).launch(1, token())


def test_rebaked_image_is_found(
    private_endpoint: str, resources: Settings, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Ec2Fleet(resources)
    (before,) = fleet.launch(1, token())
    ec2.deregister_image(ImageId=described(ec2, before)["ImageId"])  # names are unique on AWS
    new = ec2.register_image(
        Name="app-tier-ami", Architecture="x86_64", RootDeviceName="/dev/xvda"
    )["ImageId"]
    with monkeypatch.context() as gone:
        gone.setattr(ec2, "run_instances", _refusing("InvalidAMIID.NotFound"))
        with pytest.raises(NotFound):
            fleet.launch(1, token())
    (machine,) = fleet.launch(1, token())
    assert described(ec2, machine)["ImageId"] == new


def test_foreign_instances_are_ignored(resources: Settings) -> None:
    other = Ec2Fleet(resources.model_copy(update={"id": "other-team"}))
    other.launch(1, token())
    assert Ec2Fleet(resources).describe() == []


def test_instant_fleet_launches_tagged_machines_of_the_image_in_use(
    private_endpoint: str, resources: Settings, ec2: Any
) -> None:
    name = f"{resources.id}-template"
    image = Ec2Fleet(resources).launch(1, token())[0]
    image = described(ec2, image)["ImageId"]
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.small"},
    )
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]]
    fields = {"launch_template": name, "subnets": tuple(subnets), "instance_types": ("c7i.large",)}
    fleet = Ec2Fleet(resources.model_copy(update=fields))
    launch = token()
    ids = fleet.launch(3, launch)
    listed = {m.id: m for m in fleet.describe()}
    assert len(ids) == 3
    assert {listed[i].token for i in ids} == {launch}
    assert {described(ec2, i)["ImageId"] for i in ids} == {image}
    assert {described(ec2, i)["InstanceType"] for i in ids} == {"c7i.large"}
    assert not any(listed[i].outdated for i in ids)
