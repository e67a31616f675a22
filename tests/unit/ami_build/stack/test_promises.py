"""What the template promises of a web tier that is gone, or never comes up, and of disks."""

import pytest

from ami_build.image.bake import DISK_GIB, ROOT_DEVICE
from ami_build.stack.cloudformation import TEMPLATE
from tests.unit.ami_build.stack.resolved_template import ResolvedTemplate, load

TEMPLATE_ = load(TEMPLATE)
RESOURCES = TEMPLATE_["Resources"]


def resolved() -> ResolvedTemplate:
    return ResolvedTemplate(TEMPLATE_, {"Id": "lab", "VpcId": "vpc-1", "ImageId": "ami-1"})


@pytest.mark.parametrize("alarm", ["WebTierAlarm", "WebInstanceAlarm"])
def test_a_web_tier_that_is_gone_sets_off_its_alarms(alarm: str) -> None:
    """A stopped machine publishes no metric; missing data alone would tell nobody."""
    properties = resolved().resources[alarm]
    assert properties["TreatMissingData"] == "breaching"
    assert properties["AlarmActions"]


@pytest.mark.parametrize("machine", ["WebInstance", "WebFleet"])
def test_rollback_of_an_update_whose_web_tier_never_answers(
    machine: str,
) -> None:
    found = RESOURCES[machine]
    assert "ResourceSignal" in found["CreationPolicy"]
    template = RESOURCES["WebTemplate"]["Properties"]["LaunchTemplateData"]
    user_data = {"WebInstance": found["Properties"], "WebFleet": template}[machine]["UserData"]
    last = user_data["Fn::Base64"]["Fn::Sub"].strip().splitlines()[-1]
    assert f"facerec_tasks.web_probe --signal ${{AWS::StackName}} {machine} " in last


def test_the_address_moves_to_a_web_instance_that_answers() -> None:
    assert RESOURCES["WebAddress"]["Properties"]["InstanceId"] == {"Ref": "WebInstance"}


def test_disks_hold_the_image_and_are_its_root() -> None:
    assert TEMPLATE_["Parameters"]["RootVolumeGib"]["MinValue"] == DISK_GIB
    machines = resolved().resources
    templates = (machines["LaunchTemplate"]["LaunchTemplateData"], machines["WebInstance"])
    devices = [disk["DeviceName"] for one in templates for disk in one["BlockDeviceMappings"]]
    assert {*devices} == {ROOT_DEVICE}
