"""Checks of the log groups: existence and retention."""

from collections.abc import Iterator

from ami_build.doctor.context import DeploymentContext
from ami_build.doctor.finding import Finding, judge
from facerec_tasks.aws import client

TIERS = ("app-tier", "web-tier")
DAYS = 30


def check_log_groups(context: DeploymentContext) -> Iterator[Finding]:
    logs = client(context.settings, "logs")
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/{context.id}/")
    found = {group["logGroupName"]: group for page in pages for group in page["logGroups"]}
    for tier in TIERS:
        name = context.log_group(tier)
        yield judge(
            f"log group {name}", name in found, "is gone: logs end with their machines",
            f"aws logs create-log-group --log-group-name {name}, and doctor again",
        )  # fmt: skip
        if name in found:
            yield judge(
                f"log group {name}: retention", found[name].get("retentionInDays") == DAYS,
                f"keeps lines for {found[name].get('retentionInDays', 'ever')}, not {DAYS} days",
                f"aws logs put-retention-policy --log-group-name {name} --retention-in-days {DAYS}",
            )  # fmt: skip
