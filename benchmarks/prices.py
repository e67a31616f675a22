"""What AWS calls cost: public list prices of us-east-1, without the free tier, March 2026.

https://aws.amazon.com/sqs/pricing/ https://aws.amazon.com/sns/pricing/
https://aws.amazon.com/s3/pricing/ https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

from collections.abc import Mapping

DATE = "us-east-1, March 2026"
DOLLARS_PER_MILLION = {
    "sqs": 0.40, "sns": 0.50, "s3.read": 0.40, "s3.write": 5.00,
    "dynamodb.read": 0.125, "dynamodb.write": 0.625, "cloudwatch": 10.00,
}  # fmt: skip
"""DynamoDB on demand: of a unit, 4 KiB read consistently or 1 KiB written.

Free of charge: EC2's and IAM's API, deletions on S3, deliveries from SNS to SQS.
"""
_S3_READS = ("Get", "Head", "Select")
_S3_FREE = ("Delete", "Abort")
DISK_GIB_MONTH = 0.08
"""gp3: https://aws.amazon.com/ebs/pricing/"""
SNAPSHOT_GIB_MONTH = 0.05
PUBLIC_ADDRESS_HOUR = 0.005
"""Of every public IPv4 address, used or not: https://aws.amazon.com/vpc/pricing/"""
ALARM_MONTH = 0.10
"""https://aws.amazon.com/cloudwatch/pricing/"""
METRIC_MONTH = 0.30
BALANCER_HOUR, CAPACITY_UNIT_HOUR = 0.0225, 0.008
"""An Application Load Balancer, and each of its capacity units (a GB an hour, for photos):
https://aws.amazon.com/elasticloadbalancing/pricing/"""
LOG_GB = 0.50
"""Taken in by CloudWatch Logs; a month's keeping, compressed, is a few cents more."""
STORED_GIB_MONTH = 0.023
"""S3 Standard, the first 50 TB."""

CREDIT_VCPU_HOUR = 0.05
"""Of a t3 in ``unlimited`` mode, its default, above its baseline:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-unlimited-mode-concepts.html"""
REKOGNITION = ((1_000_000, 0.001), (4_000_000, 0.0008), (30_000_000, 0.0006), (None, 0.0004))
"""Images a month and dollars an image, SearchFacesByImage: https://aws.amazon.com/rekognition/pricing/"""


def rekognition(images: float) -> float:
    """Dollars for the images of a month, a face searched for on each."""
    total, left = 0.0, images
    for size, price in REKOGNITION:
        taken = left if size is None else min(left, size)
        total, left = total + taken * price, left - taken
    return total


def dollars(calls: Mapping[str, float]) -> float:
    """Price of calls by kind, such as ``{"sqs.SendMessage": 1000}``."""
    return sum(count * _price(call) for call, count in calls.items()) / 1e6


def _price(call: str) -> float:
    service, _, kind = call.partition(".")
    if service == "dynamodb":
        return DOLLARS_PER_MILLION["dynamodb.read" if "Get" in kind else "dynamodb.write"]
    if service != "s3":
        return DOLLARS_PER_MILLION.get(service, 0.0)
    if kind.startswith(_S3_FREE):
        return 0.0
    return DOLLARS_PER_MILLION["s3.read" if kind.startswith(_S3_READS) else "s3.write"]
