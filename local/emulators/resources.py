"""What the stack creates on AWS, created on an emulator: buckets, queues, images, web machine.

``python -m local.emulators.resources`` does it on the emulator that ``AWS_ENDPOINT_URL`` names.
"""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from celery_sqs import queues
from facerec_tasks import aws
from facerec_tasks.settings import MAX_REQUEST_BYTES, Settings, get_settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

WORKER_IMAGE = "app-tier-ami"
WEB_IMAGE = "web-tier-ami"
WEB_INSTANCE = "web-instance"
WEB_INSTANCE_TYPE: Final = "t3.small"


def create_resources(settings: Settings) -> None:
    """Creates what is missing; what is there stays as it is.

    Raises botocore's errors: on an emulator of ours there is none to recover from.
    """
    create_buckets(settings)
    create_queues(settings)
    create_machines(settings)


def create_buckets(settings: Settings) -> None:
    """The three buckets, versioned."""
    for bucket in (settings.in_bucket, settings.out_bucket, settings.state_bucket):
        ensure_bucket(settings, bucket)


def ensure_bucket(settings: Settings, bucket: str) -> None:
    """A versioned bucket, created if there is none."""
    s3 = aws.client(settings, "s3")
    place = (
        {"CreateBucketConfiguration": {"LocationConstraint": settings.region}}
        if settings.region != "us-east-1"  # the one region that must not be named
        else {}
    )
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **place)  # type: ignore[arg-type]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def create_queues(settings: Settings) -> None:
    """The request queue with its dead-letter queue, and the first web process's response queue."""
    sqs = aws.client(settings, "sqs")
    queues.ensure_request_queue(
        sqs,
        settings.request_queue,
        settings.dead_letter_queue,
        max_message_bytes=MAX_REQUEST_BYTES,
        visibility_timeout=settings.visibility_timeout,
    )
    queues.ensure_queue(sqs, settings.response_queue)


def create_machines(settings: Settings) -> None:
    """The images, and one ``web-instance`` so that the account looks as it does on AWS."""
    ec2 = aws.client(settings, "ec2")
    ensure_image(ec2, WORKER_IMAGE)
    image = ensure_image(ec2, WEB_IMAGE)
    found = ec2.describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": [WEB_INSTANCE]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
    )
    if found["Reservations"]:
        return
    ec2.run_instances(
        ImageId=image,
        InstanceType=WEB_INSTANCE_TYPE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [
                    {"Key": "Name", "Value": WEB_INSTANCE},
                    {"Key": "facerec:id", "Value": settings.id},
                ],
            }
        ],
    )


def ensure_image(ec2: "EC2Client", name: str) -> str:
    """The id of our image of that name, registered if there is none."""
    found = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])
    if found["Images"]:
        return found["Images"][0]["ImageId"]
    return ec2.register_image(
        Name=name, Architecture="x86_64", RootDeviceName="/dev/xvda", VirtualizationType="hvm"
    )["ImageId"]


def main() -> None:
    settings = get_settings()
    if settings.endpoint_url is None:
        sys.exit("set AWS_ENDPOINT_URL to an emulator: on AWS the stack creates these")
    create_resources(settings)
    print(f"the resources of {settings.id} are at {settings.endpoint_url}")


if __name__ == "__main__":
    main()
