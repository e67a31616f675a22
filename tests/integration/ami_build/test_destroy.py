"""`facerec aws destroy`: nothing of one id is left, everything of another is."""

import os
from collections.abc import Callable

import pytest
from celery_sqs._broker.fanout import Fanout
from click.testing import CliRunner

from ami_build.errors import PhotosRemain
from ami_build.image.registry import ID_TAG
from ami_build.stack import destroy
from ami_build.stack.cloudformation import Stack
from ami_build.stack.deployment import Deployed
from ami_build.stack.destroy import Destroyer
from autoscale.fleet import Ec2Fleet
from celery_sqs import queues
from cli.commands.aws import aws
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage
from local.emulators.resources import create_queues
from tests.integration.ami_build.conftest import make_image

pytestmark = pytest.mark.skipif(
    "FACEREC_TEST_ENDPOINT" in os.environ, reason="needs the machines of the embedded AWS"
)


def live_machines(settings: Settings) -> list[str]:
    pages = client(settings, "ec2").get_paginator("describe_instances").paginate()
    return [
        one["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for one in reservation["Instances"]
        if one["State"]["Name"] not in ("terminated", "shutting-down")
    ]


def use_it(settings: Settings) -> None:
    """What a system makes at run time: machines, queues, subscriptions, photos in versions."""
    Ec2Fleet(settings.model_copy(update={"launch_template": f"{settings.id}-app-tier"})).launch(
        2, f"token-{settings.id}"
    )
    sqs, sns = client(settings, "sqs"), client(settings, "sns")
    queues.ensure_queue(sqs, f"{settings.id}-resp-queue-i-0-1")
    url = queues.ensure_queue(sqs, f"{settings.id}-worker_i-0-celery-pidbox")
    fanout = Fanout(lambda: sns, lambda exchange: f"{settings.id}-{exchange}")
    fanout.subscribe("celery-pidbox", queues.queue_arn(sqs, url))
    for _ in range(3):
        Storage(settings).photos.put("test_00.jpg", b"photo", "image/jpeg")
    client(settings, "s3").delete_object(Bucket=settings.in_bucket, Key="test_00.jpg")


def test_destroy_leaves_nothing_and_another_system_untouched(
    settings: Settings, private_endpoint: str, deploy: Callable[..., Deployed]
) -> None:
    image = make_image(settings)
    deploy(email="a@example.com")
    use_it(settings)
    neighbor = settings.model_copy(update={"id": f"{settings.id}-two"})
    create_queues(neighbor)
    strangers = client(settings, "ec2").run_instances(
        ImageId=make_image(neighbor), MinCount=1, MaxCount=1
    )["Instances"]

    with pytest.raises(PhotosRemain, match="4 photos"):
        Destroyer(settings, print).remove(with_photos=False)
    assert len(live_machines(settings)) == 4  # web-instance, two workers, the stranger

    told = CliRunner().invoke(aws, ["destroy"], input=f"{settings.id}\n")
    assert told.exit_code == 1
    assert "--with-photos" in told.output
    told = CliRunner().invoke(aws, ["destroy", "--with-photos"], input="no\n")
    assert told.exit_code == 1
    assert "nothing was removed" in told.output
    told = CliRunner().invoke(aws, ["destroy", "--with-photos"], input=f"{settings.id}\n")
    assert told.exit_code == 0, told.output

    assert Stack(settings).find() is None
    assert live_machines(settings) == [strangers[0]["InstanceId"]]
    images = client(settings, "ec2").describe_images(Owners=["self"])["Images"]
    assert image not in {one["ImageId"] for one in images}
    assert client(settings, "s3").list_buckets()["Buckets"] == []
    left = client(settings, "sqs").list_queues(QueueNamePrefix=settings.id)["QueueUrls"]
    assert {url.rsplit("/", 1)[1] for url in left} == {
        neighbor.request_queue,
        neighbor.dead_letter_queue,
        neighbor.response_queue,
    }
    assert client(settings, "sns").list_topics()["Topics"] == []
    assert client(settings, "sns").list_subscriptions()["Subscriptions"] == []
    assert client(settings, "cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert client(settings, "logs").describe_log_groups()["logGroups"] == []
    assert client(settings, "iam").list_roles()["Roles"] == []
    assert client(settings, "iam").list_policies(Scope="Local")["Policies"] == []
    assert client(settings, "ec2").describe_addresses()["Addresses"] == []
    assert client(settings, "ec2").describe_launch_templates()["LaunchTemplates"] == []

    again = CliRunner().invoke(aws, ["destroy"])
    assert again.exit_code == 0
    assert "nothing of" in again.output


def test_buckets_in_another_region_are_neither_shown_nor_touched(
    settings: Settings, private_endpoint: str
) -> None:
    """Names of buckets are global, and botocore follows S3 to another region by itself."""
    s3 = client(settings, "s3")
    videos = f"{settings.id}-input"
    for bucket in (settings.in_bucket, settings.state_bucket, videos):
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        s3.put_object(Bucket=bucket, Key="gallery/current.gallery", Body=b"people")
    tags = [{"Key": ID_TAG, "Value": settings.id}]
    s3.put_bucket_tagging(Bucket=videos, Tagging={"TagSet": tags})  # type: ignore[typeddict-item]
    assert Destroyer(settings, print).look().empty
    told = CliRunner().invoke(aws, ["destroy", "--with-photos", "--confirm", settings.id])
    assert f"nothing of {settings.id} is in" in told.output
    assert settings.region in told.output
    Destroyer(settings, print).remove(with_photos=True)
    for bucket in (settings.in_bucket, settings.state_bucket, videos):
        s3.head_object(Bucket=bucket, Key="gallery/current.gallery")


VIDEO_STACK = """
Resources:
  Videos:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties:
      BucketName: {id}-input
      Tags: [{{Key: "facerec:id", Value: {id}}}]
  DeadLetters:
    Type: AWS::SQS::Queue
    Properties: {{QueueName: {id}-video-dlq}}
"""
"""What matters here of ``serverless/template.yaml``, whose functions the emulator cannot make."""


def test_the_stack_of_videos_goes_too_but_no_bucket_that_has_but_the_name(
    settings: Settings, deploy: Callable[..., Deployed]
) -> None:
    deploy()
    client(settings, "cloudformation").create_stack(
        StackName=f"{settings.id}-video", TemplateBody=VIDEO_STACK.format(id=settings.id)
    )
    s3 = client(settings, "s3")
    s3.put_object(Bucket=f"{settings.id}-input", Key="a.mp4", Body=b"video")
    s3.create_bucket(Bucket=f"{settings.id}-output")
    with pytest.raises(PhotosRemain, match="1 photos, videos"):
        Destroyer(settings, print).remove(with_photos=False)
    told = CliRunner().invoke(aws, ["destroy", "--with-photos", "--confirm", settings.id])
    assert told.exit_code == 0, told.output
    assert "the stack of videos" in told.output
    assert Destroyer(settings, print).look().empty
    left = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert f"{settings.id}-input" not in left
    assert f"{settings.id}-output" in left


def test_large_buckets_are_emptied_by_lifecycle_and_removed_by_a_later_run(
    settings: Settings, deploy: Callable[..., Deployed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Call by call a month of photos would take longer than the credentials live."""
    deploy()
    use_it(settings)
    s3 = client(settings, "s3")
    with monkeypatch.context() as few:
        few.setattr(destroy, "MANY", 3)
        told = CliRunner().invoke(aws, ["destroy", "--with-photos", "--confirm", settings.id])
    assert told.exit_code == 1
    assert f"bucket {settings.in_bucket} with 3 or more objects" in told.output
    assert "run this again then" in told.output
    assert _buckets_of(settings) == [settings.in_bucket]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=settings.in_bucket)["Rules"]
    assert {"Days": 1} in [rule.get("Expiration") for rule in rules]
    assert {"NoncurrentDays": 1} in [rule.get("NoncurrentVersionExpiration") for rule in rules]
    assert Stack(settings).find() is None

    told = CliRunner().invoke(aws, ["destroy", "--with-photos", "--confirm", settings.id])
    assert told.exit_code == 0, told.output
    assert _buckets_of(settings) == []


def _buckets_of(settings: Settings) -> list[str]:
    names = [bucket["Name"] for bucket in client(settings, "s3").list_buckets()["Buckets"]]
    return [name for name in names if name.startswith(f"{settings.id}-")]


def test_destroy_resumes_after_an_interrupted_run(
    settings: Settings, deploy: Callable[..., Deployed]
) -> None:
    """The stack is gone, the buckets and a queue are not."""
    deploy()
    state = Stack(settings).get()
    client(settings, "cloudformation").delete_stack(StackName=state.id)
    queues.ensure_queue(client(settings, "sqs"), f"{settings.id}-celeryev-1")
    told = CliRunner().invoke(aws, ["deploy", "--yes"])
    assert told.exit_code == 1
    assert "facerec aws destroy" in told.output
    told = CliRunner().invoke(aws, ["destroy", "--confirm", settings.id])
    assert told.exit_code == 0, told.output
    assert Destroyer(settings, print).look().empty
    deploy()
