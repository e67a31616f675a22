"""The stack on an emulated AWS: what it makes, not what it says it made."""

import base64
import json
import os
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from ami_build.errors import BucketNameTaken, DefaultId
from ami_build.image.registry import Images
from ami_build.stack.cloudformation import Stack
from ami_build.stack.deployment import Deployed, Deployment, DeployOptions
from ami_build.stack.destroy import Destroyer
from autoscale.fleet import Ec2Fleet
from celery_sqs import queues
from cli.commands.aws import aws
from facerec_tasks import machine_settings
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings
from local.emulators.resources import create_queues
from tests.integration.ami_build.conftest import (
    CALLERS,
    EMAIL,
    System,
    localstack_cannot_update,
    make_image,
    put,
)

Deploy = Callable[..., Deployed]


localstack_makes_none = pytest.mark.skipif(
    "FACEREC_TEST_ENDPOINT" in os.environ,
    reason="LocalStack 4.14 says that it makes launch templates, addresses, lifecycles, rules of "
    "security groups, and makes none",
)


def attributes(settings: Settings, queue: str) -> dict[str, str]:
    sqs = client(settings, "sqs")
    url = queues.queue_url(sqs, queue)
    return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])  # type: ignore[arg-type]


def web_instance(settings: Settings) -> dict[str, Any]:
    groups = client(settings, "ec2").describe_instances(
        InstanceIds=[Stack(settings).resources()["WebInstance"]]
    )["Reservations"]
    return dict(groups[0]["Instances"][0])


def default_template(settings: Settings) -> dict[str, Any]:
    (version,) = client(settings, "ec2").describe_launch_template_versions(
        LaunchTemplateName=f"{settings.id}-app-tier", Versions=["$Default"]
    )["LaunchTemplateVersions"]
    return dict(version["LaunchTemplateData"])


def test_buckets_are_versioned_private_encrypted_and_answer_over_tls_only(system: System) -> None:
    s3, settings = client(system.settings, "s3"), system.settings
    for bucket in (settings.in_bucket, settings.out_bucket, settings.state_bucket):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        private = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(private.values())
        encrypted = s3.get_bucket_encryption(Bucket=bucket)
        assert "AES256" in str(encrypted["ServerSideEncryptionConfiguration"])
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@localstack_makes_none
def test_lifecycle_expires_old_versions_and_unfinished_uploads(system: System) -> None:
    s3, settings = client(system.settings, "s3"), system.settings
    for bucket in (settings.in_bucket, settings.out_bucket, settings.state_bucket):
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert any("NoncurrentVersionExpiration" in rule for rule in rules)
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)


@localstack_makes_none
def test_an_overwritten_photo_outlives_the_task_that_names_it(system: System) -> None:
    rules = client(system.settings, "s3").get_bucket_lifecycle_configuration(
        Bucket=system.settings.in_bucket
    )["Rules"]
    days = [
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in rules
        if "NoncurrentVersionExpiration" in rule
    ]
    assert min(days) * 86400 > queues.MAX_RETENTION


def test_queues_are_as_the_code_makes_them(system: System) -> None:
    settings = system.settings
    local = settings.model_copy(update={"id": f"local-{settings.id}"})
    create_queues(local)
    ours = (
        "MaximumMessageSize", "MessageRetentionPeriod", "VisibilityTimeout",
        "ReceiveMessageWaitTimeSeconds", "DelaySeconds",
    )  # fmt: skip
    for here, there in (
        (local.request_queue, settings.request_queue),
        (local.dead_letter_queue, settings.dead_letter_queue),
    ):
        made, stacked = attributes(local, here), attributes(settings, there)
        assert {key: stacked[key] for key in ours} == {key: made[key] for key in ours}
    redrive = json.loads(attributes(settings, settings.request_queue)["RedrivePolicy"])
    made = json.loads(attributes(local, local.request_queue)["RedrivePolicy"])
    assert int(redrive["maxReceiveCount"]) == int(made["maxReceiveCount"])
    assert redrive["deadLetterTargetArn"].endswith(f":{settings.dead_letter_queue}")
    answers = attributes(settings, settings.response_queue)
    assert {
        key: answers[key] for key in queues.RESPONSE_QUEUE_ATTRIBUTES
    } == queues.RESPONSE_QUEUE_ATTRIBUTES
    for queue in (settings.request_queue, settings.dead_letter_queue, settings.response_queue):
        found = attributes(settings, queue)
        assert found["SqsManagedSseEnabled"] == "true"
        assert "aws:SecureTransport" in found["Policy"]


@localstack_makes_none
def test_the_image_brings_web_instance_at_a_fixed_address(system: System) -> None:
    settings, ec2 = system.settings, client(system.settings, "ec2")
    web = web_instance(settings)
    assert {tag["Key"]: tag["Value"] for tag in web["Tags"]}["Name"] == "web-instance"
    assert web["ImageId"] == system.image
    assert web["MetadataOptions"]["HttpTokens"] == "required"
    assert web["IamInstanceProfile"]["Arn"].endswith(f"/{settings.id}-web-instance")
    addresses = ec2.describe_addresses(
        Filters=[{"Name": "instance-id", "Values": [web["InstanceId"]]}]
    )["Addresses"]
    assert system.deployed.url == f"http://{addresses[0]['PublicIp']}:8000"


@localstack_makes_none
def test_security_group_admits_only_named_callers(system: System) -> None:
    group = Stack(system.settings).resources()["WebSecurityGroup"]
    found = client(system.settings, "ec2").describe_security_groups(GroupIds=[group])
    (rule,) = found["SecurityGroups"][0]["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (8000, 8000)
    assert [one["CidrIp"] for one in rule["IpRanges"]] == [CALLERS]
    assert web_instance(system.settings)["SecurityGroups"][0]["GroupId"] == group
    script = client(system.settings, "ec2").describe_instance_attribute(
        InstanceId=web_instance(system.settings)["InstanceId"], Attribute="userData"
    )
    told = base64.b64decode(script["UserData"]["Value"]).decode()
    assert "FACEREC_OPEN" not in told
    assert f"FACEREC_LAUNCH_TEMPLATE={system.settings.id}-app-tier\n" in told


@localstack_makes_none
def test_a_worker_takes_what_the_template_says(system: System) -> None:
    settings, data = system.settings, default_template(system.settings)
    assert data["ImageId"] == system.image
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert int(data["MetadataOptions"]["HttpPutResponseHopLimit"]) == 1
    assert "KeyName" not in data
    (disk,) = data["BlockDeviceMappings"]
    assert str(disk["Ebs"]["Encrypted"]).lower() == "true"
    assert disk["Ebs"]["VolumeType"] == "gp3"
    script = base64.b64decode(data["UserData"]).decode()
    assert f"FACEREC_ID={settings.id}\n" in script
    assert "systemctl enable --now facerec-app-tier.target" in script
    groups = client(settings, "ec2").describe_security_groups(GroupIds=data["SecurityGroupIds"])
    assert [group["IpPermissions"] for group in groups["SecurityGroups"]] == [[]]


def test_alarms_reach_the_person_who_was_named(system: System) -> None:
    settings = system.settings
    alarms = client(settings, "cloudwatch").describe_alarms(AlarmNamePrefix=settings.id)
    assert {alarm["AlarmName"] for alarm in alarms["MetricAlarms"]} == {
        f"{settings.id}-dead-letters",
        f"{settings.id}-waiting",
        f"{settings.id}-web-instance",
        f"{settings.id}-web-tier",
    }
    (topic,) = {arn for alarm in alarms["MetricAlarms"] for arn in alarm["AlarmActions"]}
    found = client(settings, "sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [one["Endpoint"] for one in found] == [EMAIL]


def parameter(settings: Settings) -> dict[str, str]:
    """The settings of the machines."""
    name = f"/facerec/{settings.id}/settings"
    found = client(settings, "ssm").get_parameter(Name=name)["Parameter"]["Value"]
    return machine_settings.parse(found)


@localstack_cannot_update
def test_workers_may_be_of_several_types_in_every_zone(settings: Settings, deploy: Deploy) -> None:
    deploy(worker_instance_type="m7i.large,c7i.large")
    found = parameter(settings)
    assert found["FACEREC_INSTANCE_TYPES"] == "m7i.large,c7i.large"
    ec2 = client(settings, "ec2")
    subnets = ec2.describe_subnets(SubnetIds=found["FACEREC_SUBNETS"].split(","))["Subnets"]
    zones = [subnet["AvailabilityZone"] for subnet in subnets]
    regions = {zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    assert {*zones} == regions
    assert len(zones) == len({*zones})
    deploy(subnets=subnets[0]["SubnetId"])
    deploy(max_instances=3)
    assert parameter(settings)["FACEREC_SUBNETS"] == subnets[0]["SubnetId"]
    assert parameter(settings)["FACEREC_MAX_INSTANCES"] == "3"


@localstack_cannot_update
def test_visibility_timeout_stays_where_a_later_deploy_does_not_name_it(
    settings: Settings, deploy: Deploy
) -> None:
    put(Settings(id=settings.id, endpoint_url=settings.endpoint_url, visibility_timeout=60))
    deploy(max_instances=3)
    assert parameter(settings)["FACEREC_VISIBILITY_TIMEOUT"] == "60"
    assert attributes(settings, settings.request_queue)["VisibilityTimeout"] == "60"


@localstack_makes_none
def test_several_web_machines_stand_behind_a_load_balancer_with_tls(
    settings: Settings, deploy: Deploy
) -> None:
    make_image(settings)
    acm = boto3.client("acm", region_name=settings.region, endpoint_url=settings.endpoint_url)
    certificate = acm.request_certificate(DomainName="faces.example.com")["CertificateArn"]
    done = deploy(callers="0.0.0.0/0", web_instances=2, certificate=certificate)
    assert str(done.url).startswith("https://")
    resources = Stack(settings).resources()
    assert not {"WebInstance", "WebAddress", "WebInstanceAlarm"} & {*resources}
    elb = client(settings, "elbv2")
    (listener,) = elb.describe_listeners(LoadBalancerArn=resources["Balancer"])["Listeners"]
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["Certificates"] == [{"CertificateArn": certificate}]
    ec2 = client(settings, "ec2")
    filters: Any = [{"Name": "tag:Name", "Values": ["web-instance"]},
                    {"Name": "tag:facerec:id", "Values": [settings.id]}]  # fmt: skip
    found = [
        machine
        for reservation in ec2.describe_instances(Filters=filters)["Reservations"]
        for machine in reservation["Instances"]
    ]
    assert len(found) == 2
    (group,) = client(settings, "autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[resources["WebFleet"]]
    )["AutoScalingGroups"]
    assert len(group["VPCZoneIdentifier"].split(",")) > 1
    urls = machine_settings.web_urls(settings.model_copy(update={"admin_port": 9000}))
    assert urls.split(",") == sorted(f"http://{m['PrivateIpAddress']}:9000" for m in found)
    Destroyer(settings, lambda line: None).remove(with_photos=True)
    assert Destroyer(settings, lambda line: None).look().empty


@localstack_makes_none
def test_launch_template_has_the_first_instance_type(settings: Settings, deploy: Deploy) -> None:
    make_image(settings)
    deploy(worker_instance_type="m7i.large,c7i.large")
    assert default_template(settings)["InstanceType"] == "m7i.large"


@localstack_makes_none
def test_the_controller_launches_from_the_template(system: System) -> None:
    """The real one: the template says type, role and user data, the name the image in use."""
    settings = system.settings.model_copy(
        update={"launch_template": f"{system.settings.id}-app-tier", "instance_type": "x"}
    )
    fleet = Ec2Fleet(settings)
    (made,) = fleet.launch(1, "a-token")
    found = client(settings, "ec2").describe_instances(InstanceIds=[made])
    machine = found["Reservations"][0]["Instances"][0]
    published = Images(settings).current()
    assert published
    assert (machine["ImageId"], machine["InstanceType"]) == (published["ImageId"], "c7i.large")
    fleet.terminate([made])


@localstack_makes_none
def test_a_stack_grows_from_nothing_step_by_step(settings: Settings, deploy: Deploy) -> None:
    """First without an image, so that one can be baked; what is not said stays as it is."""
    first = deploy(callers=CALLERS, email=EMAIL, budget=7)
    assert (first.url, first.image) == (None, None)
    assert first.changed > 20
    assert "WebInstance" not in Stack(settings).resources()
    assert deploy().changed == 0
    image = make_image(settings)
    second = deploy(budget=9)
    assert second.image == image
    assert "WebInstance" in Stack(settings).resources()
    parameters = Stack(settings).get().parameters
    assert parameters["WebCidr"] == CALLERS
    assert parameters["AlarmEmail"] == EMAIL
    assert parameters["MonthlyBudget"] == "9"
    newer = make_image(settings, "2")
    deploy(image=newer)
    assert default_template(settings)["ImageId"] == newer


def test_the_default_id_is_refused_with_the_reason(settings: Settings) -> None:
    with pytest.raises(DefaultId, match="global"):
        Deployment(settings.model_copy(update={"id": "facerec"}), print)


def test_a_bucket_that_is_no_stack_of_ours_is_named(settings: Settings) -> None:
    client(settings, "s3").create_bucket(Bucket=settings.out_bucket)
    with pytest.raises(BucketNameTaken, match=settings.out_bucket):
        Deployment(settings, lambda line: None).plan(DeployOptions())
    assert Stack(settings).find() is None


def test_a_system_of_ours_in_another_region_is_named_with_its_region(settings: Settings) -> None:
    """Not as what `facerec aws destroy` would remove: it is the live system."""
    client(settings, "s3").create_bucket(
        Bucket=settings.state_bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    with pytest.raises(BucketNameTaken, match="is yours, in eu-west-1") as refused:
        Deployment(settings, lambda line: None).plan(DeployOptions())
    assert "destroy" not in str(refused.value)


def test_declined_change_set_creates_nothing(settings: Settings) -> None:
    told = CliRunner().invoke(aws, ["deploy"], input="n\n")
    assert told.exit_code == 1
    assert "+ bucket of photos" in told.output
    assert Stack(settings).find() is None


@localstack_cannot_update
def test_open_web_tier_without_tls_is_asked_about_whichever_option_opens_it(
    settings: Settings, deploy: Deploy
) -> None:
    told = CliRunner().invoke(aws, ["deploy", "--allow", "0.0.0.0/0"], input="n\n")
    assert "without TLS" in told.output
    assert Stack(settings).find() is None
    certificate = "arn:aws:acm:us-east-1:123456789012:certificate/1"
    deploy(callers="0.0.0.0/0", certificate=certificate)
    told = CliRunner().invoke(aws, ["deploy", "--certificate", ""], input="n\n")
    assert "without TLS" in told.output
    assert Stack(settings).get().parameters["Certificate"] == certificate
    deploy(certificate="")
    told = CliRunner().invoke(aws, ["deploy", "--max-instances", "3"], input="n\n")
    assert "without TLS" not in told.output, "it is open already"
    told = CliRunner().invoke(aws, ["deploy", "--allow", "203.0.113.7"])
    assert "no network of IPv4" in told.output


@localstack_makes_none  # and so it finds something to do every time
def test_empty_change_set_is_said(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_ID", system.settings.id)
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(system.settings.endpoint_url))
    told = CliRunner().invoke(aws, ["deploy", "--yes", "--json"])
    assert told.exit_code == 0, told.output
    assert "is as it should be" in told.stderr
    assert json.loads(told.stdout) == {
        "stack": f"facerec-{system.settings.id}",
        "url": system.deployed.url,
        "image": system.image,
        "changed": 0,
    }
