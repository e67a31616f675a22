"""``facerec aws deploy``: decide what is wanted, show what it changes, then do it.

Every step may be interrupted and run again: CloudFormation goes on by itself, and the next run
waits for it before it plans.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ami_build.errors import (
    BucketNameTaken,
    DefaultId,
    NoDefaultVpc,
    StackFailed,
    Stuck,
    TookTooLong,
)
from ami_build.image.registry import ID_TAG, Images
from ami_build.stack.bucket_owner import bucket_region
from ami_build.stack.callers import network, open_in_clear
from ami_build.stack.cloudformation import PARAMETERS, Progress, Stack, StackState, template_body
from ami_build.stack.extra_settings import check, merged
from ami_build.stack.plan import ChangeSet, changes
from facerec_tasks.aws import client, translated
from facerec_tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

DEADLINE = 1800.0
"""Seconds for one run of CloudFormation; making everything takes about four minutes."""
PLAN_DEADLINE = 180.0
LOOK_EVERY = 1.0
VERSIONING_DELAY = 900.0
"""Seconds that S3 may take until a bucket keeps versions everywhere:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/manage-versioning-examples.html"""
NOTHING = ("didn't contain changes", "No updates are to be performed")
"""How CloudFormation says that a change set is empty."""
FINISHED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
"""States from which a stack can be updated."""


@dataclass(frozen=True)
class DeployOptions:
    """What the operator asked for; ``None`` keeps a value, or takes the template's default."""

    image: str | None = None
    """Id of the image; none takes the one that is published."""
    callers: str | None = None
    """CIDR of those who reach port 8000; empty for nobody."""
    email: str | None = None
    budget: int | None = None
    """Dollars a month."""
    web_instance_type: str | None = None
    web_instances: int | None = None
    """More than one, or a certificate: behind a load balancer."""
    certificate: str | None = None
    """ARN of ACM's; empty for no TLS."""
    worker_instance_type: str | None = None
    """Several, comma-separated, best first."""
    subnets: str | None = None
    """Of workers, comma-separated; none takes one public subnet of each zone."""
    max_instances: int | None = None
    profile: str | None = None
    retention_days: int | None = None
    """Days until photos, names and records expire; 0 keeps them."""
    settings: tuple[str, ...] = ()
    """``NAME=value`` words; an empty value takes a setting back."""


_PARAMETERS = {
    "callers": "WebCidr",
    "email": "AlarmEmail",
    "budget": "MonthlyBudget",
    "web_instance_type": "WebInstanceType",
    "web_instances": "WebInstances",
    "certificate": "Certificate",
    "worker_instance_type": "WorkerInstanceType",
    "subnets": "Subnets",
    "max_instances": "MaxInstances",
    "profile": "ScalingProfile",
    "retention_days": "RetentionDays",
}
"""Parameter of the template by field of the options."""


@dataclass(frozen=True)
class Deployed:
    """What there is now."""

    stack: str
    url: str | None
    """Where photos go; none while no image is baked."""
    image: str | None
    changed: int
    """Resources that were made, changed or removed."""


class Deployment:
    """Of one id. Raises :class:`ami_build.errors.StackError`, and AWS's errors translated."""

    def __init__(self, settings: Settings, say: Progress) -> None:
        if settings.id == Settings.model_fields["id"].default:
            raise DefaultId(
                f"FACEREC_ID is {settings.id!r}, the default. Names of buckets are global: of all "
                "AWS's customers one can have it. Choose your own: export FACEREC_ID=..."
            )
        self._settings = settings
        self._say = say
        self.stack = Stack(settings)

    # Decide

    def plan(self, options: DeployOptions) -> ChangeSet:
        """The change set of what this options changes; waits for an operation that still runs."""
        before = self._ready()
        if before is None:
            self._check_names()
        parameters = self._parameters(options, before)
        name = f"facerec-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        with translated():
            made = self.stack.client.create_change_set(
                StackName=self.stack.name,
                ChangeSetName=name,
                ChangeSetType="UPDATE" if before else "CREATE",
                TemplateBody=template_body(),
                Parameters=parameters,  # type: ignore[arg-type]
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Tags=[{"Key": ID_TAG, "Value": self._settings.id}],
            )
        after = {one["ParameterKey"]: one["ParameterValue"] for one in parameters}
        opens = open_in_clear(after) and not (before and open_in_clear(before.parameters))
        return replace(self._described(made["Id"]), opens=opens)

    def _ready(self) -> StackState | None:
        """The stack to update, or none when it must be created."""
        found = self.stack.find()
        if found is not None and found.changing:
            self._say(f"{self.stack.name} is {found.status} since an earlier run: waiting for it")
            found = self.stack.settle(time.monotonic() + DEADLINE, self._say)
        if found is None or found.status == "REVIEW_IN_PROGRESS":
            return None
        if found.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
            self._say(
                f"{self.stack.name} is {found.status}: its creation failed; removing the rest"
            )
            left = self.stack.delete(found.id, time.monotonic() + DEADLINE, self._say)
            if left is not None:
                raise Stuck(_remedy(self.stack.name, left))
            return None
        if found.status not in FINISHED:
            raise Stuck(_remedy(self.stack.name, found))
        return found

    def _check_names(self) -> None:
        """Raises :class:`BucketNameTaken` when the stack could not make a bucket."""
        s = self._settings
        for bucket in (s.in_bucket, s.out_bucket, s.state_bucket):
            region = bucket_region(s, bucket)
            if region is None:
                continue
            if not region:
                raise BucketNameTaken(
                    f"bucket {bucket} is taken: names of buckets are global, and another account "
                    "has it. Choose another FACEREC_ID"
                )
            if region != s.region:
                raise BucketNameTaken(
                    f"bucket {bucket} is yours, in {region}, and this is {s.region}: set "
                    "AWS_REGION to deploy there, or choose another FACEREC_ID"
                )
            raise BucketNameTaken(
                f"bucket {bucket} is in this account and region already, and no stack's. "
                "`facerec aws destroy` removes what an earlier one left"
            )

    def _parameters(
        self, options: DeployOptions, before: StackState | None
    ) -> list[dict[str, str]]:
        """What is not wished for stays as it is."""
        wanted = {
            **({k: v for k, v in before.parameters.items() if k in PARAMETERS} if before else {}),
            "Id": self._settings.id,
            **self._vpc(),
        }
        if "visibility_timeout" in self._settings.model_fields_set:  # else as it is
            wanted["VisibilityTimeout"] = str(self._settings.visibility_timeout)
        image = options.image or published_image(self._settings)
        if image:  # else as it is: no machine that serves is stopped because none was given
            wanted["ImageId"] = image
        for field in fields(options):
            value = getattr(options, field.name)
            if field.name in _PARAMETERS and value is not None:
                wanted[_PARAMETERS[field.name]] = str(value)
        if not wanted.get("Subnets"):
            wanted["Subnets"] = ",".join(public_subnets(self._settings, wanted["VpcId"]))
        if options.settings:
            wanted["Settings"] = merged(wanted.get("Settings", ""), options.settings)
        check(wanted)
        network(wanted.get("WebCidr", ""))
        return [{"ParameterKey": key, "ParameterValue": value} for key, value in wanted.items()]

    def _vpc(self) -> dict[str, str]:
        with translated():
            found = self._ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])
        if not found["Vpcs"]:
            raise NoDefaultVpc(
                f"{self._settings.region} has no default VPC: aws ec2 create-default-vpc"
            )
        return {"VpcId": found["Vpcs"][0]["VpcId"], "VpcCidr": found["Vpcs"][0]["CidrBlock"]}

    @property
    def _ec2(self) -> "EC2Client":
        return client(self._settings, "ec2")

    def _described(self, change_set: str) -> ChangeSet:
        paginator = self.stack.client.get_paginator("describe_change_set")
        deadline = time.monotonic() + PLAN_DEADLINE
        while True:
            with translated():
                found = paginator.paginate(ChangeSetName=change_set).build_full_result()
            if found["Status"] in ("CREATE_COMPLETE", "FAILED"):
                return self._worth_doing(ChangeSet(change_set, changes(found["Changes"])), found)
            if time.monotonic() > deadline:
                raise TookTooLong(f"CloudFormation does not come to a plan: {found['Status']}")
            time.sleep(LOOK_EVERY)

    def _worth_doing(self, plan: ChangeSet, found: Mapping[str, Any]) -> ChangeSet:
        """The plan as CloudFormation has ``found`` it, an empty one if it changes nothing."""
        failed, reason = found["Status"] == "FAILED", found.get("StatusReason", "")
        if plan.changes and not failed:
            return plan
        self.withdraw(plan)
        if failed and not any(words in reason for words in NOTHING):
            raise StackFailed(f"CloudFormation refuses the plan: {reason}")
        return ChangeSet("")

    def withdraw(self, plan: ChangeSet) -> None:
        """Leaves nothing of a plan that is not carried out."""
        if plan.change_set:
            with translated():
                self.stack.client.delete_change_set(ChangeSetName=plan.change_set)
        found = self.stack.find()
        if found is not None and found.status == "REVIEW_IN_PROGRESS":
            with translated():
                self.stack.client.delete_stack(StackName=found.id)

    # Do

    def apply(self, plan: ChangeSet, *, versioning_delay: float = VERSIONING_DELAY) -> Deployed:
        """Carries the plan out. ``versioning_delay``: seconds from the making of the buckets to
        the first machine that writes into them.

        Raises :class:`StackFailed`, :class:`TookTooLong`.
        """
        if plan.change_set:
            if plan.adds("WebInstance") or plan.adds("WebFleet"):
                self._await_versioning(versioning_delay)
            with translated():
                self.stack.client.execute_change_set(ChangeSetName=plan.change_set)
            self._finish()
        self._use_newest_template()
        self._publish()
        state = self.stack.get()
        return Deployed(
            stack=self.stack.name,
            url=state.outputs.get("Url"),
            image=state.parameters.get("ImageId") or None,
            changed=len(plan.changes),
        )

    def _await_versioning(self, delay: float) -> None:
        state = self.stack.find()
        if state is None or state.status == "REVIEW_IN_PROGRESS":
            self._say(
                "The buckets are made now, with a machine that uses them: for up to 15 minutes S3 "
                "may keep no versions, and photos are refused until it does."
            )
            return
        bucket = self._settings.in_bucket
        with translated():
            found = client(self._settings, "s3").list_buckets(Prefix=bucket)["Buckets"]
        made = max(one["CreationDate"].timestamp() for one in found if one["Name"] == bucket)
        left = made + delay - time.time()
        if left > 0:
            until = datetime.fromtimestamp(time.time() + left).astimezone()
            self._say(
                f"S3 may take 15 minutes until it keeps versions: waiting until {until:%H:%M}. "
                "Ctrl-C is safe, a later deploy goes on."
            )
            time.sleep(left)

    def _finish(self) -> None:
        state = self.stack.settle(time.monotonic() + DEADLINE, self._say)
        if state is None or state.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            status = state.status if state else "gone"
            raise StackFailed(f"{self.stack.name} is {status}: {self._reason(state)}")

    def _reason(self, state: StackState | None) -> str:
        """What failed first, in CloudFormation's words; the rest failed because of it."""
        if state is None:
            return "somebody removed it"
        for event in reversed(self.stack.events(state.id)):
            if event["ResourceStatus"].endswith("_FAILED"):
                return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '?')}"
        return state.reason or "see the events of the stack"

    def _publish(self) -> None:
        """Makes the stack's image that of new workers, too: a rollback is of both tiers."""
        image, images = self.stack.get().parameters.get("ImageId"), Images(self._settings)
        version = images.version_of(image)
        if version is None and image:
            self._say(f"{image} was not baked by `facerec aws bake`: workers keep their image")
        elif version and images.publish(version):
            self._say(f"new workers start from {version}")

    def _use_newest_template(self) -> None:
        """Workers come from the default version, which CloudFormation leaves at the first."""
        template = self.stack.resources()["LaunchTemplate"]
        with translated():
            found = self._ec2.describe_launch_templates(LaunchTemplateIds=[template])
            if not found["LaunchTemplates"]:  # an emulator that says what it has not done
                self._say("there is no launch template, whatever CloudFormation says")
                return
            newest = found["LaunchTemplates"][0]["LatestVersionNumber"]
            if found["LaunchTemplates"][0]["DefaultVersionNumber"] != newest:
                self._ec2.modify_launch_template(
                    LaunchTemplateId=template, DefaultVersion=str(newest)
                )


def public_subnets(settings: Settings, vpc: str) -> list[str]:
    """One subnet of each zone whose machines get public addresses: that with most free ones."""
    filters: Any = [{"Name": "vpc-id", "Values": [vpc]}]
    with translated():
        found = client(settings, "ec2").describe_subnets(Filters=filters)["Subnets"]
    public = [subnet for subnet in found if subnet["MapPublicIpOnLaunch"]]
    public.sort(key=lambda subnet: subnet["AvailableIpAddressCount"])
    by_zone = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in public}
    return [by_zone[zone] for zone in sorted(by_zone)]


def published_image(settings: Settings) -> str | None:
    """Id of the image of the version that is published, or none.

    ``app-tier-ami`` itself is registered anew with every bake; the image of a version stays.
    """
    images = Images(settings)
    version = images.in_use()
    return next((kept.id for kept in images.kept() if kept.version == version), None)


def _remedy(name: str, state: StackState) -> str:
    if state.status == "UPDATE_ROLLBACK_FAILED":
        remedy = f"aws cloudformation continue-update-rollback --stack-name {name}"
    else:
        remedy = "facerec aws destroy"
    return f"{name} is {state.status} ({state.reason or 'no reason given'}); the way out: {remedy}"
