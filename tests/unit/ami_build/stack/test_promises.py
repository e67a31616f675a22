"""What the template promises of a web tier that is gone or never comes up, of machines, of data."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ami_build.image.bake import DISK_GIB, ROOT_DEVICE
from ami_build.stack.cloudformation import TEMPLATE
from facerec_tasks import web_probe
from facerec_tasks.machine_settings import settable
from facerec_tasks.storage import layout
from tests.unit.ami_build.stack.resolved_template import ResolvedTemplate, load

TEMPLATE_ = load(TEMPLATE)
VIDEOS = Path("serverless/template.yaml")
RESOURCES = TEMPLATE_["Resources"]


def resolved(**parameters: str) -> ResolvedTemplate:
    values = {"Id": "lab", "VpcId": "vpc-1", "ImageId": "ami-1", **parameters}
    return ResolvedTemplate(TEMPLATE_, values)


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


@pytest.mark.parametrize("machine", ["WebInstance", "WebFleet"])
def test_a_machine_gives_up_before_cloudformation_does(machine: str) -> None:
    """Then its log says why; the time of a boot is on top of the probe's own."""
    timeout = RESOURCES[machine]["CreationPolicy"]["ResourceSignal"]["Timeout"]
    assert 60 * int(timeout.removeprefix("PT").removesuffix("M")) >= web_probe.DEADLINE + 60


def test_web_machines_are_updated_one_by_one_each_after_its_signal() -> None:
    update = RESOURCES["WebFleet"]["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert update["WaitOnResourceSignals"]
    assert update["MinInstancesInService"] == {"Ref": "WebInstances"}
    assert update["MaxBatchSize"] == 1


def user_data(machine: str) -> str:
    several = {"WebInstances": "2"} if machine == "WebTemplate" else {}
    found = resolved(**several).resources[machine]
    return str(found.get("LaunchTemplateData", found)["UserData"])


def environment(script: str, folder: Path) -> dict[str, str]:
    """What a run of the user data leaves of a machine whose disk is ``folder``."""
    for name in ("bin", "etc/facerec"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    systemctl = folder / "bin" / "systemctl"
    systemctl.write_text("#!/bin/sh\n")
    systemctl.chmod(0o755)
    script = script.replace("/etc/facerec/", f"{folder}/etc/facerec/")
    script = script.replace("/opt/facerec/web/bin/python", "true")
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    subprocess.run(["/bin/bash", "-c", script], env={"PATH": path}, check=True, timeout=30)
    lines = (folder / "etc/facerec/environment").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert len(found) == len(lines), "no line twice"
    return found


@pytest.mark.parametrize("machine", ["LaunchTemplate", "WebInstance", "WebTemplate"])
def test_user_data_holds_what_never_changes_and_may_run_again(machine: str, tmp_path: Path) -> None:
    """cloud-init runs it at the first boot only: what is in it never reaches a running machine."""
    script = re.sub(r"<(\w+)>", r"\1", user_data(machine))  # a reference, by its logical id
    found = environment(script, tmp_path)
    assert environment(script, tmp_path) == found
    assert found["FACEREC_SETTINGS_PARAMETER"] == "MachineSettings"
    changeable = {name for name in found if settable(name)}
    assert changeable <= {"FACEREC_TRUSTED_PROXIES"}, "the network's, as long as the machine lives"
    assert not re.search(r"\$\{\w+\}", script), "a parameter of the template without a value"


def expiry(bucket: str, **parameters: str) -> dict[str, int]:
    return days(resolved(**parameters).resources[bucket])


def days(bucket: Mapping[str, Any]) -> dict[str, int]:
    """Days until objects expire, by prefix."""
    rules = bucket["LifecycleConfiguration"]["Rules"]
    return {
        rule.get("Prefix", ""): int(rule["ExpirationInDays"])
        for rule in rules
        if rule["Status"] == "Enabled" and "ExpirationInDays" in rule
    }


def test_photos_names_and_records_of_them_expire_where_that_is_asked_for() -> None:
    own = {layout.IDEMPOTENCY: 7, layout.UPLOADS: 1, layout.BAKE: 30, layout.ATTEMPTS: 30}
    own[layout.CONTROLLER_DECISIONS] = 90
    assert expiry("InBucket") == expiry("OutBucket") == {}, "kept, unless something else is said"
    assert expiry("StateBucket") == own
    assert expiry("InBucket", RetentionDays="30") == {"": 30}
    assert expiry("OutBucket", RetentionDays="30") == {"": 30}
    records = (layout.RESULTS, layout.HISTORY, layout.VIDEO, layout.VIDEO_RECORDS, layout.ACCEPTED)
    found = expiry("StateBucket", RetentionDays="30")
    assert found == own | dict.fromkeys(records, 30)
    kept = {prefix for prefix in layout.STATE_PREFIXES if prefix not in found}
    assert kept == {layout.GALLERY, layout.KEYS, layout.CONTROLLER, layout.UNKNOWN}


@pytest.mark.parametrize("bucket", ["Videos", "Names"])
def test_videos_and_their_names_expire_where_that_is_asked_for(bucket: str) -> None:
    def found(**parameters: str) -> dict[str, int]:
        template = ResolvedTemplate(load(VIDEOS), {"Id": "lab", **parameters})
        return days(template.resources[bucket])

    assert found() == {}
    assert found(RetentionDays="30") == {"": 30}


@pytest.mark.parametrize("role", ["WebRole", "WorkerRole", "ControllerPolicy"])
def test_roles_are_passed_to_ec2_under_its_name_in_china(role: str) -> None:
    """https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html"""
    china = {"AWS::Partition": "aws-cn", "AWS::URLSuffix": "amazonaws.com.cn"}
    for suffix, parameters in (("amazonaws.com", {}), ("amazonaws.com.cn", china)):
        found = str(resolved(**parameters).resources[role])
        principals = re.findall(r"ec2\.[\w.-]*amazonaws[\w.]*", found)
        assert principals
        assert all(name.endswith(suffix) for name in principals)


def test_the_address_moves_to_a_web_instance_that_answers() -> None:
    assert RESOURCES["WebAddress"]["Properties"]["InstanceId"] == {"Ref": "WebInstance"}


def test_disks_hold_the_image_and_are_its_root() -> None:
    assert TEMPLATE_["Parameters"]["RootVolumeGib"]["MinValue"] == DISK_GIB
    machines, several = resolved().resources, resolved(WebInstances="2").resources
    templates = (
        machines["LaunchTemplate"]["LaunchTemplateData"],
        machines["WebInstance"],
        several["WebTemplate"]["LaunchTemplateData"],
    )
    devices = [disk["DeviceName"] for one in templates for disk in one["BlockDeviceMappings"]]
    assert {*devices} == {ROOT_DEVICE}
