"""The stand-in is strict: what AWS refuses it refuses, in words that botocore knows."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from celery_sqs._broker.translation import translate_errors
from celery_sqs.errors import BrokerUnavailable
from celery_sqs.testing import isolated

from ami_build.stack.destroy import Destroyer
from facerec_tasks.aws import more_attempts, translated
from facerec_tasks.errors import Unavailable
from facerec_tasks.settings import Settings
from local.emulators.embedded_aws import embedded_aws
from tests.aws_like import strict_aws
from tests.aws_like.strict_aws import StrictAws

pytestmark = pytest.mark.soak
ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with embedded_aws(pending=0.2, stopping=0.2, lag=1.0) as url:
        yield url


def client(strict: StrictAws, service: str, region: str = "us-east-1") -> Any:
    return boto3.client(
        service, region_name=region, endpoint_url=strict.url, config=ONCE,
        aws_access_key_id=strict_aws.ADMIN, aws_secret_access_key="x",
    )  # fmt: skip


CALLS = {
    "s3": lambda c: c.list_buckets(),
    "ec2": lambda c: c.describe_vpcs(),
    "sqs": lambda c: c.list_queues(),
    "sns": lambda c: c.list_topics(),
    "ssm": lambda c: c.describe_parameters(),
    "logs": lambda c: c.describe_log_groups(),
    "iam": lambda c: c.list_roles(),
    "sts": lambda c: c.get_caller_identity(),
    "cloudformation": lambda c: c.list_stacks(),
    "service-quotas": lambda c: c.list_services(),
}


@pytest.mark.parametrize("service", CALLS)
def test_a_throttled_call_is_known_as_one(
    strict: StrictAws, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_aws, "THROTTLED_ONE_IN", 1)
    with pytest.raises(Unavailable), translated():
        CALLS[service](client(strict, service))


def test_a_bucket_is_in_one_region_and_botocore_follows(strict: StrictAws) -> None:
    home = client(strict, "s3", "eu-west-1")
    home.create_bucket(
        Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    assert strict.redirected == 0
    found = client(strict, "s3").head_bucket(Bucket="far-away")
    assert found["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "eu-west-1"
    assert strict.redirected > 0


def test_the_name_of_a_deleted_queue_is_refused(strict: StrictAws) -> None:
    sqs = client(strict, "sqs")
    sqs.delete_queue(QueueUrl=sqs.create_queue(QueueName="short-lived")["QueueUrl"])
    with pytest.raises(ClientError, match="QueueDeletedRecently"):
        sqs.create_queue(QueueName="short-lived")
    client(strict, "sqs", "eu-west-1").create_queue(QueueName="short-lived")


def test_a_queue_with_too_many_messages_in_flight_gives_no_more(
    strict: StrictAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_aws, "IN_FLIGHT", 1)
    sqs = client(strict, "sqs")
    url = sqs.create_queue(QueueName="busy")["QueueUrl"]
    for body in "ab":
        sqs.send_message(QueueUrl=url, MessageBody=body)
    (first,) = sqs.receive_message(QueueUrl=url)["Messages"]
    with pytest.raises(BrokerUnavailable, match="OverLimit"), translate_errors():
        sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert sqs.receive_message(QueueUrl=url)["Messages"]


def test_a_stack_whose_name_begins_with_a_digit_is_an_error(strict: StrictAws) -> None:
    """It is not said to be missing, which would be as good to whoever looks for it."""
    with pytest.raises(ClientError, match="failed to satisfy constraint"):
        client(strict, "cloudformation").describe_stacks(StackName="4k-lab-video")
    with pytest.raises(ClientError, match="does not exist"):
        client(strict, "cloudformation").describe_stacks(StackName="facerec-4k-lab-video")


@pytest.mark.parametrize("id_", ["4k-lab", "q", "x" * 32])
def test_nothing_of_an_id_is_found_where_there_is_nothing(
    strict: StrictAws, id_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in isolated({}, strict.url).items():
        monkeypatch.setenv(name, value)
    settings = Settings(id=id_, endpoint_url=strict.url)
    with more_attempts():
        assert Destroyer(settings, print).look().empty


def launch_refused_for(ec2: Any) -> str:
    with pytest.raises(ClientError) as refused:
        ec2.run_instances(ImageId="ami-00000000", MinCount=1, MaxCount=1)
    return str(refused.value.response["Error"]["Code"])


def test_ec2_has_a_rate_for_launches(strict: StrictAws) -> None:
    """Five at once, then two a second."""
    ec2 = client(strict, "ec2")
    strict.clock = lambda: 0.0
    codes = [launch_refused_for(ec2) for _ in range(6)]
    strict.clock = lambda: 1.0
    codes += [launch_refused_for(ec2) for _ in range(3)]
    allowed, refused = "InvalidAMIID.NotFound", "RequestLimitExceeded"
    assert codes == [*[allowed] * 5, refused, *[allowed] * 2, refused]


def test_a_new_machine_is_unknown_for_a_while(strict: StrictAws) -> None:
    ec2 = client(strict, "ec2")
    image = ec2.register_image(Name="any", Architecture="x86_64", RootDeviceName="/dev/xvda")
    made = ec2.run_instances(ImageId=image["ImageId"], MinCount=1, MaxCount=1)["Instances"]
    ids = [machine["InstanceId"] for machine in made]
    for call in (ec2.describe_instances, ec2.stop_instances, ec2.terminate_instances):
        with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
            call(InstanceIds=ids)
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.create_tags(Resources=ids, Tags=[{"Key": "Name", "Value": "x"}])
    assert ec2.describe_instances()["Reservations"] == []
