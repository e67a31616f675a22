"""Checks of the account: state of the stack, clock, network."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from ami_build.doctor.context import DeploymentContext
from ami_build.doctor.finding import DEPLOY, Finding, judge
from facerec_tasks.aws import client

MAX_SKEW = 60.0
"""Seconds; AWS refuses signatures that are off by more than 300."""


def check_stack(context: DeploymentContext) -> Iterator[Finding]:
    status = context.state.status
    yield judge(
        "stack", status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"),
        f"is {status} {context.state.reason}".rstrip(), DEPLOY,
    )  # fmt: skip


def check_clock(context: DeploymentContext) -> Iterator[Finding]:
    before = time.time()
    answer = client(context.settings, "sts").get_caller_identity()
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    here = (before + time.time()) / 2
    skew = here - parsedate_to_datetime(said).timestamp() if said else 0.0
    yield judge(
        "clock of this machine", abs(skew) < MAX_SKEW, f"is off by {skew:.0f} s",
        "set it (chrony, systemd-timesyncd): AWS refuses who is off by five minutes",
    )  # fmt: skip


def check_network(context: DeploymentContext) -> Iterator[Finding]:
    vpc = context.state.parameters.get("VpcId", "")
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    subnets = client(context.settings, "ec2").describe_subnets(Filters=filters)["Subnets"]  # type: ignore[arg-type]
    public = [subnet for subnet in subnets if subnet["MapPublicIpOnLaunch"]]
    yield judge(
        "network", public, f"no subnet of {vpc} gives machines an address: none reaches AWS",
        "aws ec2 modify-subnet-attribute --map-public-ip-on-launch --subnet-id subnet-…",
    )  # fmt: skip
