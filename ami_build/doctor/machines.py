"""Checks of the machines: image, launch template, web-instance, quotas."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from ami_build.doctor.context import DeploymentContext, found_or_none
from ami_build.doctor.finding import DEPLOY, Finding, judge
from ami_build.image.registry import Images
from ami_build.stack.callers import open_in_clear
from ami_build.stack.cloudformation import Stack
from autoscale.ec2_errors import code_of
from facerec_tasks.aws import client

QUOTA, SPOT_QUOTA = "L-1216C47A", "L-34B43A08"
"""Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances, in vCPUs; the same of spot."""
HEALTH_TIMEOUT = 5.0
"""Seconds."""


def check_machines(context: DeploymentContext) -> Iterator[Finding]:
    yield judge(
        "image", context.image, "none is baked: nothing runs", "facerec aws bake",
    )  # fmt: skip
    if not context.image:
        return
    yield _image(context)
    yield _published(context)
    yield _disk_key(context)
    yield _callers(context)
    yield from _template(context)
    yield from _web(context)
    yield _offered(context)
    yield _room(context)
    if "FACEREC_SPOT=true" in context.state.parameters.get("Settings", "").split():
        yield _room(context, spot=True)


def _image(context: DeploymentContext) -> Finding:
    ec2 = client(context.settings, "ec2")
    found = found_or_none(lambda: ec2.describe_images(ImageIds=[context.image])["Images"])
    state = found[0]["State"] if found else "gone"
    return judge(
        f"image {context.image}", state == "available", f"is {state}: no worker can start",
        f"facerec aws bake, or an older one: {DEPLOY} --image ami-…",
    )  # fmt: skip


def _published(context: DeploymentContext) -> Finding:
    """New workers start from the image named app-tier-ami, whatever the launch template says."""
    images = Images(context.settings)
    version, stacks = images.in_use(), images.version_of(context.image)
    return judge(
        "image of new workers", stacks is None or version == stacks,
        f"is of version {version}, web-instance runs {stacks}", DEPLOY,
    )  # fmt: skip


def _disk_key(context: DeploymentContext) -> Finding:
    """A key of the account's own encrypts workers' disks: its policy must let the role use it."""
    subject = "key of the disks"
    key = client(context.settings, "ec2").get_ebs_default_kms_key_id()["KmsKeyId"]
    own = "alias/aws/ebs" not in key and not _is_awss(context, key)
    role = f"{context.id}-web-instance"
    return judge(
        subject, not own, f"is {key}, the account's own: workers without a right to it end",
        f"let {role} use it (kms:CreateGrant, kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext) in "
        "the key's policy, or aws ec2 reset-ebs-default-kms-key-id", level="advice",
    )  # fmt: skip


def _is_awss(context: DeploymentContext, key: str) -> bool:
    found = client(context.settings, "kms").describe_key(KeyId=key)["KeyMetadata"]
    return bool(found.get("KeyManager") == "AWS")


def _callers(context: DeploymentContext) -> Finding:
    return judge(
        "callers of the web tier", not open_in_clear(context.state.parameters),
        "anybody may reach port 8000, and there is no TLS: keys and photos travel in clear",
        f"{DEPLOY} --allow YOUR.ADDRESS/32, or --certificate ARN",
        level="advice",
    )  # fmt: skip


def _template(context: DeploymentContext) -> Iterator[Finding]:
    name = f"{context.id}-app-tier"
    ec2 = client(context.settings, "ec2")
    found = found_or_none(
        lambda: ec2.describe_launch_template_versions(
            LaunchTemplateName=name, Versions=["$Default"]
        )
    )
    yield judge(f"launch template {name}", found, "is gone", f"destroy and {DEPLOY}")
    if found is None:
        return
    data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    yield judge(
        f"launch template {name}: image", data.get("ImageId") == context.image,
        f"workers start from {data.get('ImageId')}, the stack says {context.image}", DEPLOY,
    )  # fmt: skip
    yield judge(
        f"launch template {name}: IMDSv2",
        data.get("MetadataOptions", {}).get("HttpTokens") == "required",
        "a worker's credentials can be asked for without a token", DEPLOY,
    )  # fmt: skip


def _web(context: DeploymentContext) -> Iterator[Finding]:
    resources = Stack(context.settings).resources()
    if "WebFleet" in resources:
        yield _targets(context, resources["WebTargets"])
        yield _health(context.state.outputs["Url"])
        return
    instance, address = resources.get("WebInstance"), resources.get("WebAddress")
    state = _state(context, instance) if instance else "gone"
    yield judge(
        "web-instance", state == "running", f"is {state}",
        f"aws ec2 start-instances --instance-ids {instance}" if instance and
        state == "stopped" else f"{DEPLOY} makes another after the stack forgot this one",
    )  # fmt: skip
    if not address:
        yield Finding("web-instance: fixed address", "fault", "has none", DEPLOY)
    elif state == "running":
        yield _health(f"http://{address}:8000")


def _targets(context: DeploymentContext, group: str) -> Finding:
    """Web machines that the load balancer sends photos to."""
    described = client(context.settings, "elbv2").describe_target_health(TargetGroupArn=group)
    states = [one["TargetHealth"]["State"] for one in described["TargetHealthDescriptions"]]
    healthy, wanted = (
        states.count("healthy"),
        int(context.state.parameters.get("WebInstances", "1")),
    )
    return judge(
        "web machines", healthy >= wanted, f"{healthy} of {wanted} are healthy",
        "the load balancer replaces those that do not answer; if not: facerec aws logs",
    )  # fmt: skip


def _state(context: DeploymentContext, instance: str) -> str:
    ec2 = client(context.settings, "ec2")
    found = found_or_none(lambda: ec2.describe_instances(InstanceIds=[instance])["Reservations"])
    return found[0]["Instances"][0]["State"]["Name"] if found else "gone"


def _health(url: str) -> Finding:
    """Asked directly: a proxy of this machine would answer for it."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    subject = f"web tier at {url}"
    try:
        with direct.open(f"{url}/readyz", timeout=HEALTH_TIMEOUT):
            return Finding(subject)
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace").strip()
        return Finding(subject, "fault", f"is not ready: {said}", "mend what it names")
    except OSError as error:
        return Finding(
            subject, "fault", f"does not answer here ({error})",
            f"if you should be let in: {DEPLOY} --allow YOUR.ADDRESS/32. If you are: the console "
            "of web-instance says why, and a restart is safe",
        )  # fmt: skip


def _offered(context: DeploymentContext) -> Finding:
    """Not every zone has every type; without one that has, no worker can be launched."""
    kinds, subnets = (
        context.state.parameters.get(name, "").split(",")
        for name in ("WorkerInstanceType", "Subnets")
    )
    ec2 = client(context.settings, "ec2")
    found = ec2.describe_subnets(SubnetIds=[one for one in subnets if one])["Subnets"]
    zones = {subnet["AvailabilityZone"] for subnet in found}
    offers = ec2.describe_instance_type_offerings(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": kinds}],
    )["InstanceTypeOfferings"]
    nowhere = {*kinds} - {o["InstanceType"] for o in offers if o["Location"] in zones}
    return judge(
        "types of workers", not nowhere,
        f"{', '.join(sorted(nowhere))}: in no zone of {', '.join(sorted(zones))}",
        f"{DEPLOY} --worker-instance-type with types this region has", level="advice",
    )  # fmt: skip


def _room(context: DeploymentContext, *, spot: bool = False) -> Finding:
    """vCPUs of the account against those of web-instance and a whole fleet."""
    kinds = context.state.parameters["WorkerInstanceType"].split(",")
    worker = max(_vcpus(context, kind) for kind in kinds)
    web = 0 if spot else _vcpus(context, context.state.parameters["WebInstanceType"])
    needed = worker * int(context.state.parameters["MaxInstances"]) + web
    subject = "quota of spot vCPUs" if spot else "quota of vCPUs"
    code, kind = (SPOT_QUOTA, "Spot") if spot else (QUOTA, "On-Demand Standard")
    try:
        quotas = client(context.settings, "service-quotas")
        quota: Any = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    except ClientError as error:
        return Finding(
            subject, "advice", f"cannot be read: {code_of(error)}",
            f"see that {kind} instances are allowed {needed} vCPUs",
        )  # fmt: skip
    return judge(
        subject,
        quota["Value"] >= needed,
        f"{quota['Value']:.0f} vCPUs, {needed} are needed for web-instance and a whole fleet",
        f"aws service-quotas request-service-quota-increase --service-code ec2 "
        f"--quota-code {code} --desired-value {needed}; until then --max-instances fewer",
        level="advice" if spot else "fault",  # refused, on-demand machines take their place
    )


def _vcpus(context: DeploymentContext, kind: str) -> int:
    found = client(context.settings, "ec2").describe_instance_types(InstanceTypes=[kind])  # type: ignore[list-item]
    return int(found["InstanceTypes"][0]["VCpuInfo"]["DefaultVCpus"])
