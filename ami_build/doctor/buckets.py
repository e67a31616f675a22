"""Checks of the buckets: existence, versioning, lifecycle, access."""

import json
from collections.abc import Iterator
from typing import Any

from ami_build.doctor.context import DeploymentContext, found_or_none
from ami_build.doctor.finding import DEPLOY, Finding, judge
from celery_sqs import queues
from facerec_tasks.aws import client

DAY = 86_400
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}


def check_buckets(context: DeploymentContext) -> Iterator[Finding]:
    s = context.settings
    for bucket in (s.in_bucket, s.out_bucket, s.state_bucket):
        yield from _bucket(context, bucket)


def _bucket(context: DeploymentContext, bucket: str) -> Iterator[Finding]:
    s3: Any = client(context.settings, "s3")
    status = found_or_none(lambda: s3.get_bucket_versioning(Bucket=bucket))
    there = status is not None
    yield judge(
        f"bucket {bucket}", there, "is gone, and all that was in it",
        f"aws s3api create-bucket --bucket {bucket}, and doctor again: it says what to set",
    )  # fmt: skip
    if not there:
        return
    yield judge(
        f"bucket {bucket}: versions", (status or {}).get("Status") == "Enabled",
        "keeps no versions: every photo is refused",
        f"aws s3api put-bucket-versioning --bucket {bucket} "
        "--versioning-configuration Status=Enabled, then wait 15 minutes",
    )  # fmt: skip
    block = found_or_none(lambda: s3.get_public_access_block(Bucket=bucket)) or {}
    walls = block.get("PublicAccessBlockConfiguration", {})
    yield judge(
        f"bucket {bucket}: private", walls and all(walls.values()),
        "may be made public",
        f"aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration "
        "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
    )  # fmt: skip
    key = found_or_none(lambda: s3.get_bucket_encryption(Bucket=bucket))
    yield judge(
        f"bucket {bucket}: encrypted", key, "is not encrypted", DEPLOY,
    )  # fmt: skip
    policy = (found_or_none(lambda: s3.get_bucket_policy(Bucket=bucket)) or {}).get("Policy", "{}")
    yield judge(
        f"bucket {bucket}: TLS only", is_tls_only(policy), "answers without TLS",
        "put back the policy that ami_build/stack/stack.yaml has for it",
    )  # fmt: skip
    rules = found_or_none(lambda: s3.get_bucket_lifecycle_configuration(Bucket=bucket)) or {}
    days = shortest(rules.get("Rules", []))
    yield judge(
        f"bucket {bucket}: old versions", days is not None, "keeps old versions for ever",
        "put back the lifecycle that ami_build/stack/stack.yaml has for it",
    )  # fmt: skip
    if bucket == context.settings.in_bucket:
        yield judge(
            f"bucket {bucket}: outlives the queue",
            days is None or days * DAY > queues.MAX_RETENTION,
            f"an overwritten photo is gone after {days} days, its task may wait for 14",
            "put back the lifecycle that ami_build/stack/stack.yaml has for it",
        )  # fmt: skip


def is_tls_only(policy: str) -> bool:
    """Whether a policy denies everything to who comes without TLS."""
    return any(
        statement.get("Effect") == "Deny" and statement.get("Condition") == TLS_ONLY
        for statement in json.loads(policy).get("Statement", ())
    )


def shortest(rules: list[Any]) -> int | None:
    """Days after which the first old version of anything goes; none for never."""
    days = [
        int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
        for rule in rules
        if rule.get("Status") == "Enabled" and "NoncurrentVersionExpiration" in rule
    ]
    return min(days, default=None)
