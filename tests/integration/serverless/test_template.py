"""The CloudFormation template, made on the embedded AWS: what there is, what roles may do."""

import ast
import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from celery_sqs.testing import isolated

from facerec_tasks.aws import client
from facerec_tasks.recognition.gallery.enrollment import Sample
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators import resources, video_functions
from local.emulators.embedded_aws import embedded_aws
from local.emulators.lambda_service import RETRIES, LambdaService
from local.emulators.video_functions import RECOGNITION, SPLITTING

from .conftest import Buckets

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

TEMPLATE = Path("serverless/template.yaml")
IMAGES = "123456789012.dkr.ecr.us-east-1.amazonaws.com/facerec"


@pytest.fixture(scope="module")
def stack() -> Iterator[Settings]:
    """The settings of an AWS with the stack, for tests that only look."""
    with pytest.MonkeyPatch.context() as environment, embedded_aws() as endpoint:
        for name, value in isolated({}, endpoint).items():
            environment.setenv(name, value)
        settings = Settings(id=f"t{uuid.uuid4().hex[:12]}", endpoint_url=endpoint)
        deploy(client(settings, "cloudformation"), settings.id)
        yield settings


@pytest.fixture
def own_stack(settings: Settings, private_endpoint: str) -> Settings:
    """An AWS with the stack and the main stack's buckets, whose permissions can be checked."""
    resources.create_buckets(settings)
    deploy(client(settings, "cloudformation"), settings.id)
    iam = client(settings, "iam")
    for role in iam.list_roles()["Roles"]:
        # moto keeps what CloudFormation gives a role as Python writes it, and cannot read that.
        rights: Any = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="rights")
        iam.put_role_policy(
            RoleName=role["RoleName"],
            PolicyName="rights",
            PolicyDocument=json.dumps(ast.literal_eval(rights["PolicyDocument"])),
        )
    return settings


def deploy(cloudformation: "CloudFormationClient", facerec_id: str, concurrency: int = 10) -> None:
    """As ``aws cloudformation deploy`` does."""
    parameters = {
        "Id": facerec_id,
        "VideoSplittingImage": f"{IMAGES}/{SPLITTING}:1",
        "FaceRecognitionImage": f"{IMAGES}/{RECOGNITION}:1",
        "Concurrency": str(concurrency),
    }
    name = f"facerec-{facerec_id}-video"
    cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.execute_change_set(StackName=name, ChangeSetName="first")
    (made,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE"


def test_the_buckets_are_versioned_private_encrypted_and_frames_expire(stack: Settings) -> None:
    s3 = client(stack, "s3")
    for bucket in (stack.video_bucket, stack.frame_bucket, stack.video_name_bucket):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(blocked.values())
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        assert rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert (statement["Effect"], statement["Condition"]) == (
            "Deny",
            {"Bool": {"aws:SecureTransport": "false"}},
        )
    kept = s3.get_bucket_lifecycle_configuration(Bucket=stack.frame_bucket)["Rules"]
    assert [rule["Expiration"]["Days"] for rule in kept if "Days" in rule["Expiration"]] == [14]


def test_only_the_bucket_may_invoke_the_function(stack: Settings) -> None:
    function = client(stack, "lambda").get_function(FunctionName=SPLITTING)["Configuration"]
    told = client(stack, "s3").get_bucket_notification_configuration(Bucket=stack.video_bucket)
    (notification,) = told["LambdaFunctionConfigurations"]
    assert notification["LambdaFunctionArn"] == function["FunctionArn"]
    assert notification["Events"] == ["s3:ObjectCreated:*"]
    policy = client(stack, "lambda").get_policy(FunctionName=SPLITTING)["Policy"]
    (statement,) = json.loads(policy)["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    source = f"arn:aws:s3:::{stack.video_bucket}"
    assert statement["Condition"]["ArnLike"] == {"AWS:SourceArn": source}


@pytest.mark.parametrize("name", [SPLITTING, RECOGNITION])
def test_a_function_runs_its_image_and_gives_up_into_the_dead_letter_queue(
    stack: Settings, name: str
) -> None:
    found = client(stack, "lambda").get_function(FunctionName=name)
    assert found["Code"]["ImageUri"] == f"{IMAGES}/{name}:1"
    assert found["Configuration"]["Timeout"] == video_functions.TIMEOUT
    assert found["Configuration"]["Environment"]["Variables"] == {"FACEREC_ID": stack.id}
    assert found["Concurrency"]["ReservedConcurrentExecutions"] == 10
    retries = client(stack, "lambda").get_function_event_invoke_config(FunctionName=name)
    assert retries["MaximumRetryAttempts"] == len(RETRIES)
    queue = retries["DestinationConfig"]["OnFailure"]["Destination"].rsplit(":", 1)[1]
    assert queue == video_functions.dead_letter_queue(stack)
    logs = client(stack, "logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")
    assert logs["logGroups"][0]["retentionInDays"] == 30


def test_the_alarms_are_the_ones_the_documentation_explains(stack: Settings) -> None:
    alarms = client(stack, "cloudwatch").describe_alarms()["MetricAlarms"]
    documented = Path("docs/how-to/serverless.md").read_text()
    assert len(alarms) == 4
    for alarm in alarms:
        assert alarm["AlarmActions"] == [f"arn:aws:sns:us-east-1:123456789012:{stack.id}-alarms"]
        heading = alarm["AlarmDescription"].rsplit('"', 2)[1]
        assert f"**{heading}**" in documented.lower() or f"## {heading}" in documented.lower()


def test_a_new_account_can_leave_out_the_reservation(settings: Settings) -> None:
    deploy(client(settings, "cloudformation"), settings.id, concurrency=0)
    found = client(settings, "lambda").get_function_concurrency(FunctionName=SPLITTING)
    assert not found.get("ReservedConcurrentExecutions")


# What the roles may do: the emulator checks every call against them.


@contextmanager
def permissions_checked(endpoint: str) -> Iterator[None]:
    """From here on the emulator refuses what no policy allows."""
    _authorise_after(endpoint, "0")
    try:
        yield
    finally:
        _authorise_after(endpoint, "inf")


def _authorise_after(endpoint: str, calls: str) -> None:
    request = urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth", calls.encode(), {"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(request, timeout=10):
        pass


def credentials(stack: Settings, function: str) -> dict[str, str]:
    """What Lambda gives the function: its role's, for an hour."""
    role = client(stack, "lambda").get_function(FunctionName=function)["Configuration"]["Role"]
    given = client(stack, "sts").assume_role(RoleArn=role, RoleSessionName=function)["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def s3_of(stack: Settings, function: str) -> Any:
    given = {name.lower(): value for name, value in credentials(stack, function).items()}
    return boto3.client("s3", endpoint_url=stack.endpoint_url, **given)


def test_the_roles_allow_all_that_the_functions_do(
    own_stack: Settings,
    tmp_path: Path,
    clips: Path,
    sample_people: dict[str, Sequence[Sample]],
    eventually: Callable[..., None],
) -> None:
    People(StateBucket(own_stack)).add(sample_people)
    video_functions.create_resources(own_stack)
    buckets = Buckets(own_stack)
    buckets.upload("good.mp4", (clips / "eileen.mp4").read_bytes())
    buckets.upload("good.mp4", b"not any more")
    buckets.upload("bad.mp4", b"")
    functions = [
        replace(function, environment=credentials(own_stack, function.name))
        for function in video_functions.functions()
    ]
    events = buckets.events()
    assert len(events) == 3
    with LambdaService(functions, tmp_path, own_stack, retries=()) as service:
        with permissions_checked(own_stack.endpoint_url or ""):
            for event in events:
                service.send(SPLITTING, event)
                eventually(lambda: service.idle, within=60)
        assert not [result.payload for _, result in service.results if result.failed]
    assert set(buckets.answers()) == {"good.refused.json", "bad.refused.json"}


def test_what_decodes_strangers_videos_sees_neither_gallery_nor_answers(
    own_stack: Settings,
) -> None:
    StateBucket(own_stack).put(layout.GALLERY_CURRENT, b"faces")
    decoder, recognizer = s3_of(own_stack, SPLITTING), s3_of(own_stack, RECOGNITION)
    gallery = {"Bucket": own_stack.state_bucket, "Key": layout.GALLERY_CURRENT}
    answer = {"Bucket": own_stack.video_name_bucket, "Key": "a.txt"}
    with permissions_checked(own_stack.endpoint_url or ""):
        recognizer.get_object(**gallery)
        for forbidden in (
            lambda: decoder.get_object(**gallery),
            lambda: decoder.put_object(**answer, Body=b"Ada"),
            lambda: decoder.put_object(Bucket=own_stack.video_bucket, Key="a.mp4", Body=b""),
            lambda: recognizer.put_object(**gallery, Body=b"other faces"),
            lambda: recognizer.get_object(Bucket=own_stack.in_bucket, Key="photo.jpg"),
            lambda: recognizer.get_object(Bucket=own_stack.video_bucket, Key="a.mp4"),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                forbidden()
