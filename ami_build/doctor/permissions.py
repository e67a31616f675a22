"""May each process do what its code does? IAM itself is asked, for one call of every kind.

:func:`needs` is what the code calls, action by action: a test compares it with what real processes
call, another holds that the template allows nothing besides. The simulation knows boundaries and
policies of the organization as well; it does not know the policies of buckets and queues.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ami_build.doctor.context import DeploymentContext, found_or_none
from ami_build.doctor.finding import Finding, judge
from facerec_tasks.aws import client
from facerec_tasks.web_probe import NAMESPACE

ROLES = {
    "web": "web-instance",
    "controller": "web-instance",
    "flower": "web-instance",
    "worker": "app-tier-instance",
    "web-journal": "web-instance",
    "worker-journal": "app-tier-instance",
}
"""Role by process; each process has a policy ``<id>-<process>`` of its own."""
ANY = "*"


@dataclass(frozen=True)
class Need:
    """Actions a process takes on one kind of thing."""

    process: str
    what: str
    actions: tuple[str, ...]
    resource: str
    """An ARN of that kind."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Condition keys that AWS would fill in."""


def _connecting(p: DeploymentContext) -> Iterator[Need]:
    """Every process of Celery's asks for a queue that never exists: does SQS answer?"""
    queue = p.arn("sqs", f"{p.id}-connection")
    for process in ("web", "controller", "flower", "worker"):
        yield Need(process, "see that SQS answers", ("sqs:GetQueueUrl",), queue)


def needs(context: DeploymentContext, template: str) -> tuple[Need, ...]:
    """All of them; ``template`` is the launch template's id."""
    return (
        *_connecting(context),
        *_web(context), *_controller(context, template), *_flower(context), *_worker(context),
        *_journal(context, "web-journal", "web-tier"),
        *_journal(context, "worker-journal", "app-tier"),
    )  # fmt: skip


_TALK = (
    "sqs:GetQueueUrl", "sqs:CreateQueue", "sqs:TagQueue", "sqs:GetQueueAttributes",
    "sqs:SetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility", "sqs:DeleteQueue",
)  # fmt: skip
_FANOUT = ("sns:CreateTopic", "sns:ListSubscriptionsByTopic", "sns:Publish", "sns:Subscribe")


def _web(p: DeploymentContext) -> Iterator[Need]:
    s = p.settings
    state = p.arn("s3", s.state_bucket, regional=False)
    photos = p.arn("s3", s.in_bucket, regional=False)
    answers = p.arn("sqs", s.response_queue)

    def need(what: str, resource: str, *actions: str) -> Need:
        return Need("web", what, actions, resource)

    yield need("store photos", f"{photos}/test_00.jpg", "s3:PutObject")
    yield need("show past photos", f"{photos}/test_00.jpg", "s3:GetObjectVersion")
    yield need("see that the bucket is versioned", photos, "s3:GetBucketVersioning")
    for kind in (
        "results", "history", "accepted", "idempotency", "keys", "gallery", "controller", "video",
    ):  # fmt: skip
        yield need(f"read {kind}", f"{state}/{kind}/x", "s3:GetObject")
    for kind in ("history", "accepted", "idempotency", "uploads", "results"):
        yield need(f"write {kind}", f"{state}/{kind}/x", "s3:PutObject")
    yield need("forget marks", f"{state}/accepted/x", "s3:DeleteObject")
    yield need("erase uploads", f"{state}/uploads/x", "s3:DeleteObjectVersion")
    yield need("list state", state, "s3:ListBucket", "s3:ListBucketVersions")
    yield need(
        "send tasks", p.arn("sqs", s.request_queue),
        "sqs:GetQueueUrl", "sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:ListQueueTags",
    )  # fmt: skip
    yield need(
        "count dead letters", p.arn("sqs", s.dead_letter_queue),
        "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags",
    )  # fmt: skip
    for queue in (answers, f"{answers}-machine-1"):
        yield need(
            "be answered", queue, "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
            "sqs:DeleteMessage", "sqs:TagQueue", "sqs:ListQueueTags", "sqs:CreateQueue",
            "sqs:SetQueueAttributes",
        )  # fmt: skip
    for queue in (f"{answers}-machine-1", _pidbox(p), _events(p)):
        yield need(
            "sweep the abandoned", queue, "sqs:GetQueueUrl", "sqs:ListQueueTags", "sqs:DeleteQueue"
        )
    yield need(
        "sweep and show", ANY, "sqs:ListQueues", "sns:ListSubscriptions", "sns:Unsubscribe",
        "ec2:DescribeInstances",
    )  # fmt: skip
    yield need("tell that tasks were sent", p.arn("sns", f"{p.id}-celeryev"), *_FANOUT[:3])
    control = p.arn("sns", f"{p.id}-celery-pidbox")
    yield need("command workers", control, "sns:CreateTopic", "sns:Publish")


def _controller(p: DeploymentContext, template: str) -> Iterator[Need]:
    s = p.settings
    state = p.arn("s3", s.state_bucket, regional=False)
    instance = p.arn("ec2", "instance/i-0")
    member = {"aws:ResourceTag/facerec-fleet": p.id}
    ours = {"ec2:LaunchTemplate": p.arn("ec2", f"launch-template/{template}")}

    def need(what: str, resource: str, *actions: str, **more: Any) -> Need:
        return Need("controller", what, actions, resource, **more)

    yield need("remember", f"{state}/controller/x", "s3:GetObject", "s3:PutObject")
    yield need("list state", state, "s3:ListBucket")
    yield need(
        "count what waits", p.arn("sqs", s.request_queue), "sqs:GetQueueUrl",
        "sqs:GetQueueAttributes",
    )  # fmt: skip
    yield from _talking(p, "controller")
    yield need(
        "see machines", ANY, "ec2:DescribeImages", "ec2:DescribeInstances",
        "ec2:DescribeSpotInstanceRequests",
        "sns:Unsubscribe",
    )  # fmt: skip
    yield need(
        "launch members", instance, "ec2:RunInstances",
        context={**ours, "aws:RequestTag/facerec-fleet": p.id},
    )  # fmt: skip
    for kind in (
        "launch-template/lt-0", "network-interface/eni-0", "security-group/sg-0", "subnet/subnet-0",
        "volume/vol-0",
    ):  # fmt: skip
        yield need(f"launch with {kind}", p.arn("ec2", kind), "ec2:RunInstances", context=ours)
    spot_request = p.arn("ec2", "spot-instances-request/sir-0")
    yield need("ask for spot", spot_request, "ec2:RunInstances")
    owned = f"arn:{p.partition}:ec2:{s.region}::"
    yield need("launch from snapshots", f"{owned}snapshot/snap-0", "ec2:RunInstances", context=ours)
    yield need(
        "launch from our images", f"{owned}image/ami-0", "ec2:RunInstances", "ec2:CreateFleet",
        context={"aws:ResourceTag/facerec:id": p.id},
    )  # fmt: skip
    for kind in ("fleet/fleet-0", "instance/i-0"):
        yield need(
            "ask for several types at once", p.arn("ec2", kind), "ec2:CreateFleet",
            context={"aws:RequestTag/facerec-fleet": p.id},
        )  # fmt: skip
    for kind in (f"launch-template/{template}", "subnet/subnet-0", "volume/vol-0"):
        yield need(f"ask for a fleet with {kind}", p.arn("ec2", kind), "ec2:CreateFleet")
    for kind in ("fleet/fleet-0", "instance/i-0", "volume/vol-0"):
        for creator in ("RunInstances", "CreateFleet"):
            yield need(
                "tag what it launches", p.arn("ec2", kind), "ec2:CreateTags",
                context={"ec2:CreateAction": creator},
            )  # fmt: skip
    yield need(
        "move members", instance, "ec2:StartInstances", "ec2:StopInstances",
        "ec2:TerminateInstances", context=member,
    )  # fmt: skip
    yield need(
        "name members", instance, "ec2:CreateTags", context={**member, "aws:TagKeys": "Name"}
    )
    yield need(
        "use the key of disks", p.arn("kms", "key/0"), "kms:CreateGrant", "kms:Decrypt",
        "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext",
        context={"kms:ViaService": f"ec2.{s.region}.{p.url_suffix}"},
    )  # fmt: skip
    yield need(
        "give workers their role",
        p.arn("iam", f"role/{p.id}-app-tier-instance", regional=False), "iam:PassRole",
        context={"iam:PassedToService": f"ec2.{p.url_suffix}"},
    )  # fmt: skip
    spot = "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    yield need(
        "have spot in a new account", p.arn("iam", spot, regional=False),
        "iam:CreateServiceLinkedRole", context={"iam:AWSServiceName": "spot.amazonaws.com"},
    )  # fmt: skip


def _flower(p: DeploymentContext) -> Iterator[Need]:
    for queue in (p.settings.request_queue, p.settings.dead_letter_queue):
        count = ("sqs:GetQueueUrl", "sqs:GetQueueAttributes")
        yield Need("flower", "count messages", count, p.arn("sqs", queue))
    yield from _talking(p, "flower")
    yield Need("flower", "stop hearing", ("sns:Unsubscribe",), ANY)


def _talking(p: DeploymentContext, process: str) -> Iterator[Need]:
    """Ask workers and hear them, over queues and topics that are nobody else's."""
    for queue in (_pidbox(p), _events(p)):
        yield Need(process, "hear workers", _TALK, queue)
    for topic in ("celery-pidbox", "celeryev"):
        yield Need(process, "command workers", _FANOUT, p.arn("sns", f"{p.id}-{topic}"))


def _worker(p: DeploymentContext) -> Iterator[Need]:
    s = p.settings
    photos, names, state = (
        p.arn("s3", bucket, regional=False)
        for bucket in (s.in_bucket, s.out_bucket, s.state_bucket)
    )
    answers = p.arn("sqs", s.response_queue)

    def need(what: str, resource: str, *actions: str) -> Need:
        return Need("worker", what, actions, resource)

    yield need("read photos", f"{photos}/test_00.jpg", "s3:GetObject", "s3:GetObjectVersion")
    yield need("write names", f"{names}/test_00", "s3:PutObject", "s3:GetObject")
    for bucket in (photos, names, state):
        yield need("tell missing from forbidden", bucket, "s3:ListBucket")
    for kind in ("results", "history", "unknown", "attempts", "gallery", "video"):
        yield need(f"keep {kind}", f"{state}/{kind}/x", "s3:GetObject", "s3:PutObject")
    for kind in ("attempts", "video"):
        yield need(f"clear {kind}", f"{state}/{kind}/x", "s3:DeleteObject")
    yield need("read uploads", f"{state}/uploads/x", "s3:GetObject")
    for kind in ("gallery", "results", "history", "unknown"):
        yield need(f"forget people in {kind}", f"{state}/{kind}/x", "s3:DeleteObjectVersion")
    yield need("find old versions", state, "s3:ListBucketVersions")
    yield need(
        "take tasks", p.arn("sqs", s.request_queue), "sqs:GetQueueUrl", "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage",
    )  # fmt: skip
    dead_letters = p.arn("sqs", s.dead_letter_queue)
    for what, queue in (
        ("dead-letter", dead_letters),
        ("answer", answers),
        ("answer", f"{answers}-machine-1"),
    ):
        yield need(what, queue, "sqs:GetQueueUrl", "sqs:SendMessage")
    yield need("answer commands", _pidbox(p), *_TALK, "sqs:SendMessage", "sqs:ListQueueTags")
    for topic in ("celery-pidbox", "celeryev"):
        yield need("hear commands, tell events", p.arn("sns", f"{p.id}-{topic}"), *_FANOUT)
    yield need("stop hearing", ANY, "sns:Unsubscribe")


def _journal(p: DeploymentContext, process: str, tier: str) -> Iterator[Need]:
    stream = p.arn("logs", f"log-group:{p.log_group(tier)}:log-stream:i-0")
    yield Need(process, "ship logs", ("logs:CreateLogStream", "logs:PutLogEvents"), stream)
    parameter = p.arn("ssm", f"parameter/facerec/{p.id}/settings")
    yield Need(process, "read settings", ("ssm:GetParameter",), parameter)
    if tier == "web-tier":
        stack = p.arn("cloudformation", f"stack/facerec-{p.id}/id")
        yield Need(process, "signal readiness", ("cloudformation:SignalResource",), stack)
        yield Need(process, "find the other web machines", ("ec2:DescribeInstances",), "*")
        yield Need(
            process, "tell whether the web tier is ready", ("cloudwatch:PutMetricData",), "*",
            {"cloudwatch:namespace": NAMESPACE},
        )  # fmt: skip


def _pidbox(p: DeploymentContext) -> str:
    return p.arn("sqs", f"{p.id}-worker-celery-pidbox")


def _events(p: DeploymentContext) -> str:
    return p.arn("sqs", f"{p.id}-celeryev-1")


def check_permissions(context: DeploymentContext) -> Iterator[Finding]:
    for role in sorted(set(ROLES.values())):
        yield judge(
            f"role {context.id}-{role}", _exists(context, f"{context.id}-{role}"),
            "is gone", "aws iam create-role as ami_build/stack/stack.yaml has it",
        )  # fmt: skip
    template = _template(context)
    for process, role in ROLES.items():
        if not _exists(context, f"{context.id}-{role}"):
            continue
        wanted = [need for need in needs(context, template) if need.process == process]
        refused = [line for need in wanted for line in _refused(context, need)]
        yield judge(
            f"permissions of {process}", not refused, f"may not {'; '.join(refused)}",
            f"attach policy {context.id}-{process}, as ami_build/stack/stack.yaml has it, to role "
            f"{context.id}-{role}; or ask the organization's owner what forbids it",
        )  # fmt: skip


def _template(context: DeploymentContext) -> str:
    name = f"{context.id}-app-tier"
    found = client(context.settings, "ec2").describe_launch_templates(
        Filters=[{"Name": "launch-template-name", "Values": [name]}]
    )["LaunchTemplates"]
    return found[0]["LaunchTemplateId"] if found else "lt-0"


def _exists(context: DeploymentContext, role: str) -> bool:
    iam = client(context.settings, "iam")
    return found_or_none(lambda: iam.get_role(RoleName=role)) is not None


def _refused(context: DeploymentContext, need: Need) -> Iterator[str]:
    """What IAM does not allow, one phrase each."""
    role = f"role/{context.id}-{ROLES[need.process]}"
    answer = client(context.settings, "iam").simulate_principal_policy(
        PolicySourceArn=context.arn("iam", role, regional=False),
        ActionNames=list(need.actions),
        ResourceArns=[need.resource],
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in need.context.items()
        ],
    )
    for result in answer["EvaluationResults"]:
        if result["EvalDecision"] != "allowed":
            where = need.resource.rsplit(":", 1)[-1]
            yield f"{need.what} ({result['EvalActionName']} on {where})"
