"""`facerec aws doctor` against a stack in order, and against one with things broken by hand."""

import itertools
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest
from click.testing import CliRunner

from ami_build.doctor.context import DeploymentContext, load
from ami_build.doctor.permissions import ROLES, needs
from ami_build.doctor.runner import run_checks
from ami_build.image.registry import Images
from ami_build.stack.deployment import Deployed
from celery_sqs import queues
from cli.commands.aws import aws
from facerec_tasks.aws import client
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.iam import decide
from local.processes.child import Child
from tests.integration.ami_build.conftest import CALLERS, EMAIL, System, make_image
from tests.integration.ami_build.test_policies import document_of

on_embedded_aws = pytest.mark.skipif(
    "FACEREC_TEST_ENDPOINT" in os.environ,
    reason="needs the embedded AWS: its addresses are this machine's, its IAM simulates",
)


MAX_ID = 32
"""Characters of a ``FACEREC_ID``."""
MAX_POLICY = 6144
"""Characters: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


def faults(settings: Settings) -> set[str]:
    return {finding.subject for finding in run_checks(settings) if finding.level == "fault"}


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2):
            return True
    except OSError:
        return False


@on_embedded_aws
def test_doctor_finds_exactly_what_was_broken_by_hand(
    settings: Settings,
    deploy: Callable[..., Deployed],
    spawn: Callable[..., Child],
    eventually: Callable[..., None],
) -> None:
    image = make_image(settings)
    done = deploy(callers=CALLERS, email=EMAIL)
    assert done.url
    # An elastic address of the embedded AWS is a loopback address: the real web tier, at the place
    # where doctor looks for it.
    address = done.url.removeprefix("http://").removesuffix(":8000")
    spawn(
        (sys.executable, "-m", "webapp"),
        log="web",
        environment={"FACEREC_HOST": address, "PORT": "8000"},
    )
    eventually(lambda: is_up(str(done.url)), within=120)
    assert faults(settings) == set()

    id_, sqs = settings.id, client(settings, "sqs")
    client(settings, "s3").put_bucket_versioning(
        Bucket=settings.out_bucket, VersioningConfiguration={"Status": "Suspended"}
    )
    requests = queues.queue_url(sqs, settings.request_queue)
    policy = sqs.get_queue_attributes(QueueUrl=requests, AttributeNames=["Policy"])["Attributes"]
    elsewhere = {
        "deadLetterTargetArn": load(settings).arn("sqs", settings.response_queue),
        "maxReceiveCount": 3,
    }
    sqs.set_queue_attributes(  # moto forgets the policy of whoever does not repeat it
        QueueUrl=requests, Attributes={**policy, "RedrivePolicy": json.dumps(elsewhere)}
    )
    permissions = load(settings).arn("iam", f"policy/{id_}-controller", regional=False)
    client(settings, "iam").detach_role_policy(
        RoleName=f"{id_}-web-instance", PolicyArn=permissions
    )
    client(settings, "cloudwatch").delete_alarms(AlarmNames=[f"{id_}-waiting"])
    client(settings, "logs").delete_log_group(logGroupName=f"/{id_}/app-tier")
    client(settings, "ec2").deregister_image(ImageId=image)
    sqs.send_message(
        QueueUrl=queues.queue_url(sqs, settings.dead_letter_queue), MessageBody="a dead letter"
    )
    found = run_checks(settings)
    assert {finding.subject for finding in found if finding.level == "fault"} == {
        f"bucket {settings.out_bucket}: versions",
        f"queue {settings.request_queue}: redrive",
        "permissions of controller",
        f"alarm {id_}-waiting",
        f"log group /{id_}/app-tier",
        f"image {image}",
    }
    assert all(finding.remedy for finding in found if finding.level != "fine")
    advice = {finding.subject for finding in found if finding.level == "advice"}
    assert "dead letters" in advice

    told = CliRunner().invoke(aws, ["doctor", "--json"])
    assert told.exit_code == 1
    assert len([one for one in json.loads(told.stdout) if one["level"] == "fault"]) == 6


@on_embedded_aws
def test_each_process_may_do_what_its_code_does_and_nothing_else(system: System) -> None:
    """The needs that doctor asks about are all that the template allows, action by action."""
    deployment = load(system.settings)
    wanted = needs(deployment, launch_template(deployment))
    for process in ROLES:
        document = document_of(deployment, process)
        allowed = {
            (action, pattern)
            for statement in document["Statement"]
            for action in _each(statement["Action"])
            for pattern in _each(statement["Resource"])
        }
        assert not [action for action, _ in allowed if "*" in action]
        used = [(a, n.resource) for n in wanted if n.process == process for a in n.actions]
        assert {action for action, _ in allowed} == {action for action, _ in used}, process
        superfluous = [
            (action, pattern)
            for action, pattern in allowed
            if not any(action == a and fnmatchcase(r, pattern) for a, r in used)
        ]
        assert superfluous == [], process
        plain = json.dumps(document, separators=(",", ":"))
        longest = len(plain) + plain.count(deployment.id) * (MAX_ID - len(deployment.id))
        assert longest < MAX_POLICY, process


def launch_template(deployment: DeploymentContext) -> str:
    found = client(deployment.settings, "ec2").describe_launch_templates(
        LaunchTemplateNames=[f"{deployment.id}-app-tier"]
    )
    return found["LaunchTemplates"][0]["LaunchTemplateId"]


@on_embedded_aws
def test_every_condition_of_a_policy_counts(system: System) -> None:
    """With another tag, launch template, service or namespace the same call is denied."""
    deployment = load(system.settings)
    documents = {process: document_of(deployment, process) for process in ROLES}
    conditional = [n for n in needs(deployment, launch_template(deployment)) if n.context]
    assert len(conditional) > 15
    for need in conditional:
        context = {key.lower(): [value] for key, value in need.context.items()}
        for action, key in itertools.product(need.actions, context):
            policies = [documents[need.process]]
            assert decide(policies, action, need.resource, context) == "allowed", need
            other = decide(policies, action, need.resource, {**context, key: ["another"]})
            assert other == "implicitDeny", f"{action} on {need.resource}: {key}"


def _each(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


@on_embedded_aws
@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ec2:RunInstances", "instance/i-0", {}),
        ("ec2:CreateFleet", "instance/i-0", {"aws:RequestTag/facerec-fleet": "another"}),
        ("ec2:CreateFleet", "fleet/fleet-0", {}),
        ("ec2:CreateFleet", "launch-template/lt-0", {"aws:RequestTag/facerec-fleet": "ID"}),
        ("ec2:TerminateInstances", "instance/i-0", {"aws:ResourceTag/facerec-fleet": "another"}),
        ("ec2:StopInstances", "instance/i-0", {}),
        (
            "ec2:CreateTags",
            "instance/i-0",
            {"aws:ResourceTag/facerec-fleet": "ID", "aws:TagKeys": "facerec-fleet"},
        ),
    ],
)
def test_the_controller_may_not_touch_what_is_not_its_fleets(
    system: System, action: str, resource: str, context: dict[str, str]
) -> None:
    deployment = load(system.settings)
    entries = [
        {
            "ContextKeyName": key,
            "ContextKeyValues": [value.replace("ID", deployment.id)],
            "ContextKeyType": "string",
        }
        for key, value in context.items()
    ]
    (result,) = client(deployment.settings, "iam").simulate_principal_policy(
        PolicySourceArn=deployment.arn("iam", f"role/{deployment.id}-web-instance", regional=False),
        ActionNames=[action],
        ResourceArns=[deployment.arn("ec2", resource)],
        ContextEntries=entries,  # type: ignore[arg-type]
    )["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"


@on_embedded_aws
@pytest.mark.parametrize("queue", ["req-queue", "req-dlq", "resp-queue"])
@pytest.mark.parametrize("action", ["sqs:DeleteQueue", "sqs:PurgeQueue"])
@pytest.mark.parametrize("role", ["web-instance", "app-tier-instance"])
def test_nobody_may_delete_or_empty_the_queues_of_the_stack(
    system: System, role: str, action: str, queue: str
) -> None:
    deployment = load(system.settings)
    (result,) = client(deployment.settings, "iam").simulate_principal_policy(
        PolicySourceArn=deployment.arn("iam", f"role/{deployment.id}-{role}", regional=False),
        ActionNames=[action],
        ResourceArns=[deployment.arn("sqs", f"{deployment.id}-{queue}")],
    )["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"


@on_embedded_aws
def test_doctor_compares_what_runs_with_the_settings_of_the_stack(
    settings: Settings, deploy: Callable[..., Deployed]
) -> None:
    image = make_image(settings)
    deploy(callers="0.0.0.0/0", max_instances=4, settings=("FACEREC_SLO=30",))
    assert advice(settings) >= {
        "settings of the controller", "callers of the web tier",
    }, "nothing was decided yet"  # fmt: skip

    state = StateBucket(settings, layout.CONTROLLER)
    decision = {"step": "a-1", "at": time.time() + 600, "need": 0, "target": 0}
    state.put(
        layout.LATEST_DECISION,
        json.dumps({**decision, "limits": {"cap": 15, "profile": "slo", "slo": 30.0}}).encode(),
    )
    (found,) = (f for f in run_checks(settings) if f.subject == "settings of the controller")
    assert (found.level, found.fault) == ("fault", "FACEREC_MAX_INSTANCES is 15, not 4")
    state.put(
        layout.LATEST_DECISION,
        json.dumps({**decision, "limits": {"cap": 4, "profile": "slo", "slo": 30.0}}).encode(),
    )
    assert "settings of the controller" not in faults(settings) | advice(settings)

    make_image(settings, "2")  # published, and not the stack's
    assert "image of new workers" in faults(settings)
    deploy(image=image)
    assert "image of new workers" not in faults(settings)
    assert Images(settings).in_use() == f"{settings.id}-1"


@on_embedded_aws
def test_doctor_names_a_key_of_the_accounts_own_that_encrypts_disks(
    settings: Settings, deploy: Callable[..., Deployed]
) -> None:
    """Workers would be launched and end at once where the role has no right to it."""
    make_image(settings)
    deploy()
    assert "key of the disks" not in advice(settings)
    kms, ec2 = client(settings, "kms"), client(settings, "ec2")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
    (found,) = (f for f in run_checks(settings) if f.subject == "key of the disks")
    assert found.level == "advice"
    assert key in found.fault
    assert f"{settings.id}-web-instance" in found.remedy


def advice(settings: Settings) -> set[str]:
    return {finding.subject for finding in run_checks(settings) if finding.level == "advice"}


def test_doctor_without_a_stack_says_how_to_deploy(settings: Settings) -> None:
    told = CliRunner().invoke(aws, ["doctor"])
    assert told.exit_code == 1
    assert "facerec aws deploy" in told.output
    assert "Traceback" not in told.output
